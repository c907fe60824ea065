"""Answers of gateways, proxies and broken programs, which say nothing about what was asked."""

from __future__ import annotations

import httpx

HTML = "<html><h1>Gateway</h1></html>"
#: By what they are.
UNUSABLE = {
    "HTML": httpx.Response(200, html=HTML),
    "HTML 404": httpx.Response(404, html=HTML),
    "HTML 405": httpx.Response(405, html=HTML),
    "HTML 403": httpx.Response(403, html=HTML),
    "204": httpx.Response(204),
    "407": httpx.Response(407),
    "redirect": httpx.Response(302, headers={"Location": "http://elsewhere.example/"}),
    "null": httpx.Response(200, content=b"null"),
    "500": httpx.Response(500, text="Internal Server Error"),
}
