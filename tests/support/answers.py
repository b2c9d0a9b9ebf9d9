"""Files of bursar XML as a bursar may send them back."""

from service.export.xml.write import NAMESPACE


def document(*fines: str, prefix: str = "xb") -> bytes:
    """A bursar's answer: only what counts, pretty-printed by whatever wrote it."""
    opened, p = (f":{prefix}", f"{prefix}:") if prefix else ("", "")
    body = "\n".join(f"<{p}userFineFee>{fine}</{p}userFineFee>" for fine in fines)
    return (
        f'<{p}xml-fragment xmlns{opened}="{NAMESPACE}">\n  <{p}userExportedFineFees>{body}'
        f"</{p}userExportedFineFees>\n</{p}xml-fragment>"
    ).encode()


def fine(line_id: str = "77", text: str = "95.00", currency: str = "USD", p: str = "xb:") -> str:
    return (
        f"<{p}compositeSum><{p}currency>{currency}</{p}currency><{p}sum>{text}</{p}sum>"
        f"</{p}compositeSum><{p}bursarTransactionId>{line_id}</{p}bursarTransactionId>"
    )
