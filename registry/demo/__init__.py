"""The whole story on real pictures: works are lodged, a training folder is filtered.

:mod:`registry.demo.training_set` makes a kohya folder in which copies of lodged works hide under other names;
:mod:`registry.demo.story` runs a registry of its own, lodges, filters and tells. The pictures are public
domain or CC0; ``pictures/SOURCES.toml`` names each one's source.
"""
