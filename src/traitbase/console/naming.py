"""Who did something, by the id that stands in histories, receipts and the audit log: a name for people to read."""

from __future__ import annotations

from traitbase.console.page import Page

_COMMANDS = {"import": "an import", "cli": "the command line"}


async def names_of(page: Page, ids: set[str]) -> dict[str, str]:
    """Return a name for each id: of somebody's account, of an API key, or of a command."""
    return await page.run(_names, page, ids)


def _names(page: Page, ids: set[str]) -> dict[str, str]:
    store = page.desk.parts.store
    accounts = store.list_accounts([each for each in ids if each.startswith("acc_")])
    keys = store.list_api_keys(page.space.workspace_id) if any(each.startswith("key_") for each in ids) else []
    named = {each.account_id: each.name for each in accounts}
    named |= {key.key_id: f"key {key.name or key.key_id}" for key, _ in keys}
    return {each: named.get(each) or _COMMANDS.get(each, each) for each in ids}
