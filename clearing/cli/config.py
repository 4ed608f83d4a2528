"""`clearing config`: which settings are in force and where each comes from."""

from cyclopts import App

from clearing.cli.session import Given, SessionOptions

app = App(name="config", help="Which settings are in force, and where they come from.")


@app.command
def show(*, session: Given) -> None:
    """Show every setting, its value and its source: flag, environment, file or default.

    Example:

        clearing config show --bootstrap kafka-1:9092 --json
    """
    import msgspec
    from rich.table import Table

    settings = session.read_settings()
    came_from = origins(session.options)
    rows = [
        {"setting": name, "value": shown(value), "from": came_from[name]}
        for name, value in msgspec.structs.asdict(settings).items()
    ]
    for row in rows:
        if row["setting"] == "dsn":
            row["value"] = without_password(str(row["value"]))

    def table(_: object) -> Table:
        result = Table("setting", "value", "from", box=None)
        for row in rows:
            result.add_row(row["setting"], str(row["value"]) or "–", row["from"])
        return result

    session.show(rows, table)


def shown(value: object) -> object:
    """A setting as it may be seen: whether there is a secret, but not which."""
    from clearing.config import Secret

    return str(value) if isinstance(value, Secret) else value


def without_password(dsn: str) -> str:
    """The URL with its password blanked: settings are shown on screens and in tickets."""
    from urllib.parse import urlsplit, urlunsplit

    parts = urlsplit(dsn)
    if parts.password is None:
        return dsn
    return urlunsplit(parts._replace(netloc=parts.netloc.replace(f":{parts.password}@", ":***@")))


def origins(options: SessionOptions) -> dict[str, str]:
    """Where each setting comes from: --flag, environment variable, file or default."""
    import os

    import msgspec

    from clearing import config

    given = {"bootstrap": options.bootstrap, "dsn": options.dsn, "topic_prefix": options.prefix}
    flags = {"topic_prefix": "--prefix", "bootstrap": "--bootstrap", "dsn": "--dsn"}
    file = config.settings_file(options.config)
    in_file = config.read_file(file) if file else {}
    result: dict[str, str] = {}
    for field in msgspec.structs.fields(config.Settings):
        variable = f"CLEARING_{field.name.upper()}"
        if given.get(field.name) is not None:
            result[field.name] = flags[field.name]
        elif variable in os.environ:
            result[field.name] = variable
        else:
            result[field.name] = str(file) if field.name in in_file else "default"
    return result
