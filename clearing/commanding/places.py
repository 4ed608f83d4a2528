"""Which netting set, and so which partition, a command line means: by name, by asset, or all there are."""

from clearing.config import Settings
from clearing.failures import ExitCode, Failure


async def netting_sets(settings: Settings, wanted: str | None = None) -> dict[str, int]:
    """Netting sets with their partitions, or the one that is wanted. Raises Failure if there is none such."""
    from clearing.scheme.directory import read_directory

    directory = await read_directory(settings.bootstrap, settings.topics)
    if not directory:
        raise Failure("there is no netting set yet", "clearing scheme load SCHEME")
    if wanted is None:
        return directory
    if wanted not in directory:
        known = ", ".join(sorted(directory))
        raise Failure(f"there is no netting set {wanted!r}: {known}", code=ExitCode.USAGE)
    return {wanted: directory[wanted]}


async def netting_sets_of_assets(settings: Settings) -> dict[str, str]:
    """asset -> netting set, as the engine's open windows tell. An asset of two netting sets is left out."""
    from clearing.log.records import decode_event
    from clearing.observe.views import Latest
    from clearing.reading import partitions

    directory = await netting_sets(settings)
    async with partitions(settings.bootstrap, "clearing-commands") as reader:
        windows = await Latest(settings.topics.windows, decode_event).refresh(
            reader, sorted(directory.values())
        )
    found: dict[str, str] = {}
    twice: set[str] = set()
    for event in windows:
        asset = getattr(event, "asset", "")
        if found.setdefault(asset, event.netting_set) != event.netting_set:
            twice.add(asset)
    return {asset: name for asset, name in found.items() if asset not in twice}


async def netting_set_of(settings: Settings, wanted: str | None, asset: str) -> dict[str, int]:
    """The netting set that is wanted, else that of the asset; without either all of them."""
    if wanted is not None or not asset:
        return await netting_sets(settings, wanted)
    by_asset = await netting_sets_of_assets(settings)
    if asset not in by_asset:
        known = ", ".join(sorted(by_asset)) or "none"
        raise Failure(
            f"no netting set clears the asset {asset!r}; known: {known}", code=ExitCode.USAGE
        )
    return await netting_sets(settings, by_asset[asset])
