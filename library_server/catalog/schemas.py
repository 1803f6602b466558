"""Items in JSON: what editors send, what is asked for, what an item looks like."""

from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationInfo

from library_server.catalog.models import ContentItem
from library_server.catalog.replies import FILE_PATH
from library_server.config import Config
from library_server.lib import json, paths
from library_server.lib.digests import tag
from library_server.web.inputs import STORABLE, WindowQuery, YesOrNo
from library_server.web.links import file_url

MAX_JSON_COLUMN_BYTES = 256 * 1024
FILTERS = ("subject_area", "age_range", "content_type", "difficulty_level")


def _one_of(setting: str) -> Callable[[str, ValidationInfo], str]:
    def check(value: str, info: ValidationInfo) -> str:
        allowed = getattr(info.context, setting) if isinstance(info.context, Config) else ()
        if value not in allowed:
            raise ValueError(f"must be one of {', '.join(allowed)}")
        return value

    return check


def _small(value: Any) -> Any:
    if len(json.encode(value)) > MAX_JSON_COLUMN_BYTES:
        raise ValueError(f"must be at most {MAX_JSON_COLUMN_BYTES // 1024} KiB of JSON")
    return value


def _inside_the_folder(value: str) -> str:
    if not paths.is_safe(value):
        raise ValueError("must be a relative path inside the content folder, like audio/song.mp3")
    return value


ContentType = Annotated[str, AfterValidator(_one_of("content_types")), Field(examples=["nursery_rhyme"])]
SubjectArea = Annotated[
    str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,49}$"), Field(examples=["phonemic_awareness"])
]
AgeRange = Annotated[str, AfterValidator(_one_of("age_ranges")), Field(examples=["3-5"])]
Difficulty = Annotated[str, AfterValidator(_one_of("difficulty_levels"))]
Title = Annotated[str, StringConstraints(max_length=200, strip_whitespace=True)]
ListOrObject = Annotated[list[Any] | dict[str, Any], AfterValidator(_small)]
Asked20 = Annotated[str, StringConstraints(max_length=20), STORABLE]
Asked50 = Annotated[str, StringConstraints(max_length=50), STORABLE]
FilePath = Annotated[str, StringConstraints(max_length=500), AfterValidator(_inside_the_folder)]


class ContentChange(BaseModel):
    """What an editor may change; what is not named stays as it is."""

    model_config = ConfigDict(strict=True, extra="forbid")

    content_type: ContentType = ""
    subject_area: SubjectArea = ""
    age_range: AgeRange = ""
    title: Title | None = Field(None, examples=["The Itsy Bitsy Spider"])
    description: Annotated[str, StringConstraints(max_length=20_000)] | None = Field(
        None, examples=["A spider climbs, is washed out by the rain and climbs again."]
    )
    file_path: FilePath | None = Field(None, examples=[FILE_PATH])
    skill_objectives: ListOrObject | None = Field(None, examples=[["rhyming"]])
    prerequisite_skills: ListOrObject | None = Field(None, examples=[[]])
    content_metadata: Annotated[dict[str, Any], AfterValidator(_small)] | None = Field(None, examples=[{"week": 1}])
    download_priority: Annotated[int, Field(ge=1, le=10)] | None = Field(5, examples=[1])
    difficulty_level: Difficulty | None = Field(None, examples=["beginner"])
    active: bool = Field(True, examples=[True])

    def values(self) -> dict[str, Any]:
        """The columns that are named, as they are stored."""
        return {name: _stored(name, getattr(self, name)) for name in self.model_fields_set}


class ContentDraft(ContentChange):
    """A new item, or one that replaces another; what is not named has its default."""

    content_type: ContentType
    subject_area: SubjectArea
    age_range: AgeRange

    def values(self) -> dict[str, Any]:
        """Every column an editor may set, as it is stored."""
        return {name: _stored(name, value) for name, value in vars(self).items()}  # quicker than by the model's own way


_EMPTY: dict[str, Any] = {
    "title": "",
    "skill_objectives": [],
    "prerequisite_skills": [],
    "content_metadata": {},
}


def _stored(name: str, value: Any) -> Any:
    # A missing title is stored empty, because the guide's database allows no NULL there.
    return _EMPTY.get(name) if value is None else value


class NoQuery(BaseModel):
    """Nothing can be asked for."""


class ItemQuery(BaseModel):
    """The query of one item, and what its list shares."""

    active: Literal["true", "false", "all"] = Field("true", description="Editors may ask for retired items.")


class ListQuery(WindowQuery, ItemQuery):
    """The query of a list: filters and a window, in either spelling."""

    subject_area: Asked50 | None = Field(None, examples=["phonemic_awareness"])
    age_range: Asked20 | None = Field(None, examples=["3-5"])
    content_type: Asked50 | None = Field(None, examples=["nursery_rhyme"])
    difficulty_level: Asked20 | None = Field(None, examples=["beginner"])
    q: Annotated[str, StringConstraints(max_length=200), STORABLE] | None = Field(
        None, description="Text that title or description contains, in any case.", examples=["spider"]
    )

    @property
    def filters(self) -> dict[str, str | None]:
        """The four exact filters, None where not asked for."""
        return {name: getattr(self, name) for name in FILTERS}


class DeleteQuery(BaseModel):
    """The query of a deletion."""

    purge: YesOrNo = Field(False, description="Also remove the row and its file.")


def dump_item(item: ContentItem) -> dict[str, Any]:
    """The item as the contract's section 3 prints it."""
    metadata = {} if item.content_metadata is None else item.content_metadata
    shown = item.active is not False
    return {
        "content_id": item.id,
        "title": title_of(item),
        "description": item.description,
        "content_type": item.content_type,
        "subject_area": item.subject_area,
        "age_range": item.age_range,
        "difficulty_level": item.difficulty_level,
        "skill_objectives": [] if item.skill_objectives is None else item.skill_objectives,
        "prerequisite_skills": [] if item.prerequisite_skills is None else item.prerequisite_skills,
        "content_metadata": metadata,
        "file_path": item.file_path,
        "file_url": file_url(item.file_path, "all" if shown else "editors") if item.file_path else None,
        "download_priority": item.download_priority,
        "active": shown,
        "usage_count": item.usage_count or 0,
        "average_completion_time": item.average_completion_time,
        "success_rate": item.success_rate,
        "created_at": item.created_at,
        "updated_at": item.updated_at,
    }


def title_of(item: ContentItem) -> str:
    """What the item is called: the contract's section 3 says what stands in for a missing title."""
    metadata = item.content_metadata
    told = metadata.get("title") if isinstance(metadata, dict) else None
    if item.title or (isinstance(told, str) and told.strip()):
        return item.title or str(told).strip()
    name = (item.file_path or "").rpartition("/")[2]
    return name or f"{item.content_type} {item.id}"


def revision(item: ContentItem) -> str:
    """Changes when an editor's column does, whoever wrote it; counting does not change it."""
    return tag(json.encode([getattr(item, name) for name in ContentChange.model_fields]))
