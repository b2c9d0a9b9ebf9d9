"""The schema of the bursar XML, compiled once."""

from functools import cache
from importlib.resources import files

from lxml import etree


@cache
def bursar_export_schema() -> etree.XMLSchema:
    """The released XSD of the package `contracts`; needs no network: it imports nothing."""
    source = files("contracts").joinpath("export", "bursar-export.v1.xsd").read_bytes()
    return etree.XMLSchema(etree.fromstring(source))
