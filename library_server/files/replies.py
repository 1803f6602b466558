"""The answers and forms of files, for the API's description."""

from pydantic import BaseModel, Field

from library_server.catalog.replies import Item


class Uploaded(BaseModel):
    """The file as it is kept and, where one was made, its item."""

    message: str
    file_path: str = Field(description="Relative to the content folder.")
    access_url: str = Field(description="Where the file is served.")
    filename: str
    original_filename: str
    size: int = Field(description="Bytes.")
    sha256: str
    duplicate: bool = Field(description="The same bytes were there already.")
    content_id: int | None
    content: Item | None


class UploadForm(BaseModel):
    """`multipart/form-data`. An item is made when `content_type`, `subject_area` and `age_range` are given."""

    file: str = Field(json_schema_extra={"format": "binary"})
    title: str | None = None
    description: str | None = None
    content_type: str | None = None
    subject_area: str | None = None
    age_range: str | None = None
    difficulty_level: str | None = None
    skill_objectives: str | None = Field(None, description="JSON.")
    download_priority: str | None = Field(None, description="1 to 10.")
