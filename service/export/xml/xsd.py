"""The schema of the bursar XML, compiled once."""

from functools import cache
from importlib.resources import files

from lxml import etree

NAME = "bursar-export.v1.xsd"


@cache
def bursar_export_schema() -> etree.XMLSchema:
    """Compiles the released XSD. It imports no other schema, so nothing is fetched.

    An installed package carries the file in its own folder `contracts`; in a checkout the file lies
    in `contracts/export/`, beside the package.
    """
    package = files(__package__.split(".")[0])
    installed = package / "contracts" / NAME
    source = installed if installed.is_file() else package / ".." / "contracts" / "export" / NAME
    return etree.XMLSchema(etree.fromstring(source.read_bytes()))
