"""`python -m tests.shared.gallery`: all parts of the pages, to be looked at."""

import uvicorn

from tests.shared.gallery import make_gallery

uvicorn.run(make_gallery("http://127.0.0.1:8099"), port=8099)
