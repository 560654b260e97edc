// Saves page loads and keeps totals live. Every page works without it.
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const money = cents => (cents < 0 ? "−" : "") + "$" + (Math.abs(cents) / 100).toLocaleString("en-US", { minimumFractionDigits: 2 });

  // Menus: one open at a time; Escape and a press outside close it.
  document.addEventListener("click", event => {
    all("details.menu[open]").forEach(menu => { if (!menu.contains(event.target)) menu.open = false; });
  });
  document.addEventListener("keydown", event => {
    if (event.key !== "Escape") return;
    all("details.menu[open]").forEach(menu => { menu.open = false; menu.querySelector("summary").focus(); });
  });

  // A form is sent once: the button says so, and further presses do nothing. The one-time key in the form does the real work.
  document.addEventListener("submit", event => {
    const form = event.target;
    if (form.method === "dialog" || form.method === "get" || event.defaultPrevented) return;
    if (form.dataset.sent) { event.preventDefault(); return; }
    form.dataset.sent = "yes";
    const button = event.submitter;
    if (button && button.classList.contains("btn")) { button.dataset.words = button.innerHTML; button.textContent = "Sending…"; }
  });
  const unsent = () => all("form[data-sent]").forEach(form => {
    delete form.dataset.sent;
    all("[data-words]", form).forEach(button => { button.innerHTML = button.dataset.words; delete button.dataset.words; });
  });
  addEventListener("pageshow", unsent);
  document.addEventListener("htmx:afterRequest", unsent);

  // Selection: count and sum of the chosen boxes, and one box for all.
  const recount = form => {
    const boxes = all("tbody input[type=checkbox][data-cents]:not(:disabled)", form);
    const chosen = boxes.filter(box => box.checked);
    boxes.forEach(box => box.closest("tr").classList.toggle("sel", box.checked));
    all("[data-selected]", form).forEach(place => {
      const sum = chosen.reduce((total, box) => total + Number(box.dataset.cents), 0);
      place.textContent = `${chosen.length} selected` + (chosen.length ? `, ${money(sum)}` : "");
    });
    all("[data-select-all]", form).forEach(box => {
      box.checked = boxes.length > 0 && chosen.length === boxes.length;
      box.indeterminate = chosen.length > 0 && chosen.length < boxes.length;
    });
  };
  document.addEventListener("change", event => {
    const form = event.target.closest("form");
    if (!form || event.target.type !== "checkbox") return;
    if (event.target.matches("[data-select-all]")) {
      all("tbody input[type=checkbox][data-cents]:not(:disabled)", form).forEach(box => { box.checked = event.target.checked; });
    }
    if (form.querySelector("[data-selected]")) recount(form);
  });

  // Dialogs: a link to a page with one form opens that form over this page.
  const open_dialog = async link => {
    let found;
    try {
      const answer = await fetch(link.href, { credentials: "same-origin" });
      const html = (await answer.text()).replace(/<style[\s\S]*?<\/style>/g, ""); // its nonce is not this page's
      found = new DOMParser().parseFromString(html, "text/html").querySelector("[data-dialog-body]");
    } catch { found = null; }
    if (!found) { location.href = link.href; return; }
    // The page below may have fields of the same names: ids of the dialog get a mark of their own.
    all("[id]", found).forEach(part => { part.id = "dialog-" + part.id; });
    ["for", "aria-describedby", "aria-labelledby", "data-left", "data-strength", "data-show"].forEach(name => all(`[${name}]`, found).forEach(part => {
      part.setAttribute(name, part.getAttribute(name).split(" ").map(id => "dialog-" + id).join(" "));
    }));
    const dialog = document.createElement("dialog");
    dialog.className = "dlg";
    const title = found.querySelector("h1");
    const head = document.createElement("header");
    if (title) {
      const heading = Object.assign(document.createElement("h2"), { id: "dialog-title", className: "dlg-title", textContent: title.textContent });
      title.remove();
      head.append(heading);
      dialog.setAttribute("aria-labelledby", "dialog-title");
    }
    const close = Object.assign(document.createElement("button"), { type: "button", className: "btn btn-plain btn-sm end", textContent: "Close" });
    close.addEventListener("click", () => dialog.close());
    head.append(close);
    dialog.append(head, found);
    all(".acts a", found).filter(each => each.textContent.trim() === "Cancel").forEach(cancel => cancel.addEventListener("click", event => {
      event.preventDefault();
      dialog.close();
    }));
    dialog.addEventListener("close", () => { dialog.remove(); (link.closest("details.menu") ? link.closest("details.menu").querySelector("summary") : link).focus(); });
    document.body.append(dialog);
    dialog.showModal();
    ready(dialog);
    const first = found.querySelector("input:not([type=hidden]),select,textarea,button");
    if (first) first.focus();
  };
  document.addEventListener("click", event => {
    const link = event.target.closest("a[data-dialog]");
    if (!link || event.metaKey || event.ctrlKey || event.shiftKey || event.button) return;
    event.preventDefault();
    const menu = link.closest("details.menu");
    if (menu) menu.open = false;
    open_dialog(link);
  });

  // Passwords: show and hide; a rough measure of strength.
  document.addEventListener("click", event => {
    const button = event.target.closest("[data-show]");
    if (!button) return;
    const field = document.getElementById(button.dataset.show);
    field.type = field.type === "password" ? "text" : "password";
    button.textContent = field.type === "password" ? "Show" : "Hide";
    field.focus();
  });
  const strength = text => [/[a-z]/, /[A-Z]/, /[0-9]/].every(kind => kind.test(text)) && text.length >= 8
    ? 1 + (text.length >= 12) + (text.length >= 16) + /[^A-Za-z0-9]/.test(text) : text ? 0.5 : 0;
  document.addEventListener("input", event => {
    const field = event.target;
    if (field.dataset.strength) {
      const meter = document.getElementById(field.dataset.strength);
      meter.value = strength(field.value);
      document.getElementById(field.dataset.strength + "-words").textContent = field.value ? ["Too weak", "Fair", "Good", "Strong", "Strong"][Math.floor(meter.value)] : "";
    }
    if (field.dataset.left) {
      const left = field.maxLength - field.value.length;
      document.getElementById(field.dataset.left).textContent = `${left} of ${field.maxLength} characters left`;
    }
  });

  document.addEventListener("click", event => { if (event.target.closest("[data-print]")) print(); });

  // A drop area hands its files to the file field inside it.
  ["dragover", "dragleave", "drop"].forEach(name => document.addEventListener(name, event => {
    const area = event.target instanceof Element ? event.target.closest("[data-drop]") : null;
    if (!area) return;
    event.preventDefault();
    area.classList.toggle("over", name === "dragover");
    if (name === "drop") area.querySelector("input[type=file]").files = event.dataTransfer.files;
  }));

  // The session's end: a warning that one press answers; then the log-in page, which leads back here.
  const idle = document.querySelector("[data-idle-warn]");
  if (idle) {
    const warn = Number(idle.dataset.idleWarn) * 1000, end = Number(idle.dataset.idleEnd) * 1000;
    let since = Date.now();
    const stay = async () => {
      try { if ((await fetch(idle.dataset.idleStay, { method: "POST", credentials: "same-origin" })).ok) since = Date.now(); } catch { /* the next tick tries again */ }
      if (idle.open) idle.close();
    };
    idle.querySelector("[data-idle-press]").addEventListener("click", stay);
    idle.addEventListener("cancel", stay);
    document.addEventListener("htmx:afterRequest", () => { since = Date.now(); });
    setInterval(() => {
      const past = Date.now() - since;
      if (past >= end) { location.href = idle.dataset.idleLeave; return; }
      if (past >= warn && !idle.open) idle.showModal();
      const left = Math.max(0, Math.ceil((end - past) / 1000));
      const words = left > 60 ? "2 minutes" : left > 30 ? "1 minute" : `${Math.ceil(left / 10) * 10} seconds`;
      const place = idle.querySelector("[data-idle-left]");
      if (idle.open && place.textContent !== words) place.textContent = words;
    }, 1000);
  }

  const ready = root => {
    all("[data-select-all],[data-show],[data-script],[data-print],meter.meter", root).forEach(part => { part.hidden = false; });
    all("form", root).filter(form => form.querySelector("[data-selected]")).forEach(recount);
    const focus = root.querySelector("[data-focus]");
    if (focus) focus.focus({ preventScroll: focus.classList.contains("note") });
  };
  ready(document);
  document.addEventListener("htmx:load", event => ready(event.detail.elt));
})();
