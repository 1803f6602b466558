"""What the bulk import has to know of the curriculum's tables."""

from functools import partial

from library_server.catalog.manifests import Table
from library_server.curriculum.resources import AUDIO, RESOURCES, Resource
from library_server.curriculum.services import curriculum_changed
from library_server.web.inputs import from_object

WORDS = ("learning_objectives", "motor_skills")


def _table(resource: Resource) -> Table:
    columns = tuple(resource.draft.model_fields)
    return Table(
        model=resource.model,
        columns=columns,
        key=resource.key,
        noun=resource.one,
        known_by=", ".join(resource.key),
        parse=lambda given: from_object(resource.draft, given).values(),
        changed=partial(curriculum_changed.send, name=resource.name, row_id=None),
        words=WORDS,
        file=AUDIO if AUDIO in columns else "",
    )


TABLES = {resource.name: _table(resource) for resource in RESOURCES}
