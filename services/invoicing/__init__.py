"""Invoicing: what employers are asked to pay. Practices, accounts, claims, billing runs, invoices, holds, disputes."""
