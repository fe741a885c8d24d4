"""Assembles HTML pages: templates, texts in English and Chinese, shared styles and scripts, and charts.

It knows no content: other packages bring their own templates, scripts and words. It must not import them.
"""
