"""The table of all ways into the console."""

from __future__ import annotations

import dataclasses

from traitbase.console import uploads
from traitbase.console.pages import (
    access,
    campaigns,
    cohorts,
    events,
    imports,
    integrations,
    profiles,
    properties,
    requests,
    suppressions,
    workspace,
)
from traitbase.console.ways import Way, done, looked, seen
from traitbase.domain.accounts import Role

_EDITOR, _ADMIN = Role.EDITOR, Role.ADMIN

WAYS: tuple[Way, ...] = (
    # Signing in
    seen("", access.home, None),
    seen("sign-in", access.show_sign_in, None, is_public=True),
    Way("POST", "sign-in", access.sign_in, None, is_public=True),
    Way("POST", "sign-out", access.sign_out, None),
    seen("link/{token}", access.show_link, None, is_public=True),
    Way("POST", "link/{token}", access.use_link, None, is_public=True),
    Way("POST", "theme", access.choose_theme, None, is_public=True),
    seen("account", access.show_account, None),
    Way("POST", "account/password", access.change_password, None),
    Way("POST", "account/end", access.end_session, None),
    # Profiles
    seen("", workspace.show_overview),
    seen("overview/total", workspace.show_total),
    seen("profiles", profiles.show_table),
    seen("profiles/new", profiles.show_new, _EDITOR),
    done("profiles/create", profiles.create, _EDITOR, "profile.create"),
    seen("profile", profiles.show),
    seen("profile/cohorts", profiles.show_cohorts),
    seen("profile/deliveries", profiles.show_deliveries),
    seen("profile/property", profiles.show_property, _EDITOR),
    done("profile/property", profiles.change_property, _EDITOR, "profile.property"),
    done("profile/change", profiles.change, _EDITOR, "profile.change"),
    done("profile/channel", profiles.change_channel, _EDITOR, "profile.channel"),
    seen("profile/merge", profiles.show_merge, _EDITOR),
    done("profile/merge", profiles.merge, _EDITOR, "profile.merge"),
    seen("profile/erase", profiles.show_erase, _ADMIN),
    done("profile/erase", profiles.erase, _ADMIN, "profile.erase"),
    # Properties
    seen("properties", properties.show_all),
    done("properties/declare", properties.declare, _EDITOR, "property.declare"),
    seen("property", properties.show),
    done("property/change", properties.change, _EDITOR, "property.change"),
    looked("property/try", properties.try_type, _EDITOR),
    done("property/retype", properties.retype, _EDITOR, "property.retype"),
    done("property/replay", properties.replay, _EDITOR, "property.replay"),
    done("property/delete", properties.delete, _ADMIN, "property.delete"),
    # Imports, and other long work
    seen("imports", imports.show_all),
    dataclasses.replace(done("imports/upload", imports.upload, _EDITOR, "import.upload"), body_bytes=uploads.BYTES_MAX),
    seen("imports/plan", imports.show_plan, _EDITOR),
    done("imports/start", imports.start, _EDITOR, "import.start"),
    seen("job", imports.show_job),
    # Cohorts
    seen("cohorts", cohorts.show_all),
    seen("cohorts/new", cohorts.show_new),
    looked("cohorts/build", cohorts.build),
    looked("cohorts/count", cohorts.count),
    done("cohorts/save", cohorts.save, _EDITOR, "cohort.save"),
    seen("cohort", cohorts.show),
    seen("cohort/edit", cohorts.show_edit),
    seen("cohort/explain", cohorts.explain),
    seen("cohort/export", cohorts.export),
    done("cohort/freeze", cohorts.freeze, _EDITOR, "cohort.freeze"),
    done("cohort/delete", cohorts.delete, _EDITOR, "cohort.delete"),
    # Events and campaigns
    seen("events", events.show_all),
    seen("events/new", events.show_new, _EDITOR),
    seen("event", events.show),
    done("events/save", events.save, _EDITOR, "event.save"),
    done("events/delete", events.delete, _EDITOR, "event.delete"),
    looked("events/preview", events.preview),
    seen("campaigns", campaigns.show_all),
    seen("campaigns/new", campaigns.show_new, _EDITOR),
    dataclasses.replace(
        done("campaigns/save", campaigns.save, _EDITOR, "campaign.save"), body_bytes=campaigns.FILE_BYTES_MAX
    ),
    seen("campaign", campaigns.show),
    seen("campaign/edit", campaigns.show_edit, _EDITOR),
    seen("campaign/launch", campaigns.show_launch, _EDITOR),
    done("campaign/launch", campaigns.launch, _EDITOR, "campaign.launch"),
    done("campaign/steer", campaigns.steer, _EDITOR, "campaign.steer"),
    done("campaign/test", campaigns.send_test, _EDITOR, "campaign.test"),
    done("campaign/delete", campaigns.delete, _EDITOR, "campaign.delete"),
    seen("campaign/deliveries", campaigns.show_deliveries),
    seen("campaign/export", campaigns.export),
    done("campaign/resolve", campaigns.resolve, _EDITOR, "delivery.resolve"),
    # Requests and suppressions
    seen("requests", requests.show),
    seen("suppressions", suppressions.show),
    done("suppressions/add", suppressions.suppress, _EDITOR, "suppression.add"),
    done("suppressions/lift", suppressions.lift, _EDITOR, "suppression.lift"),
    # The workspace
    seen("integrations", integrations.show_all),
    seen("integrations/new", integrations.show_new, _ADMIN),
    seen("integration", integrations.show),
    done("integrations/save", integrations.save, _ADMIN, "integration.save"),
    Way("POST", "integrations/test", integrations.test, _ADMIN),
    done("integrations/delete", integrations.delete, _ADMIN, "integration.delete"),
    seen("keys", workspace.show_keys, _ADMIN),
    Way("POST", "keys/create", workspace.create_key, _ADMIN),
    done("keys/revoke", workspace.revoke_key, _ADMIN, "key.revoke"),
    seen("members", workspace.show_members),
    Way("POST", "members/invite", workspace.invite, _ADMIN),
    Way("POST", "members/reset", workspace.reset, _ADMIN),
    Way("POST", "members/role", workspace.change_role, _ADMIN),
    Way("POST", "members/remove", workspace.remove_member, _ADMIN),
    done("members/end-link", workspace.end_link, _ADMIN, "link.end"),
    seen("audit", workspace.show_audit, _ADMIN),
    seen("settings", workspace.show_settings),
    done("settings/workspace", workspace.save_workspace, _ADMIN, "workspace.rename"),
    done("settings/topics", workspace.save_topics, _ADMIN, "topics.save"),
)
"""Each page and action, in the order of the menu."""
