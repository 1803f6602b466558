"""The answers and forms of files, for the API's description."""

from pydantic import BaseModel, Field

from library_server.catalog.replies import FILE_PATH, FILE_URL, Item


class Uploaded(BaseModel):
    """The file as it is kept and, where one was made, its item."""

    message: str = Field(examples=["File uploaded successfully"])
    file_path: str = Field(description="Relative to the content folder.", examples=[FILE_PATH])
    access_url: str = Field(description="Where the file is served.", examples=[FILE_URL])
    filename: str = Field(examples=[FILE_PATH.rpartition("/")[2]])
    original_filename: str = Field(examples=["itsy bitsy spider.mp3"])
    size: int = Field(description="Bytes.", examples=[48213])
    sha256: str = Field(examples=["3f2a9c1e" + 7 * "5b8d04e7"])
    duplicate: bool = Field(description="The same bytes were there already.", examples=[False])
    content_id: int | None = Field(examples=[7])
    content: Item | None


class UploadForm(BaseModel):
    """`multipart/form-data`. An item is made when `content_type`, `subject_area` and `age_range` are given."""

    file: str = Field(json_schema_extra={"format": "binary"}, examples=["itsy bitsy spider.mp3"])
    title: str | None = Field(None, examples=["The Itsy Bitsy Spider"])
    description: str | None = Field(None, examples=["A spider climbs, is washed out by the rain and climbs again."])
    content_type: str | None = Field(None, examples=["nursery_rhyme"])
    subject_area: str | None = Field(None, examples=["phonemic_awareness"])
    age_range: str | None = Field(None, examples=["3-5"])
    difficulty_level: str | None = Field(None, examples=["beginner"])
    skill_objectives: str | None = Field(None, description="JSON.", examples=['["rhyming"]'])
    download_priority: str | None = Field(None, description="1 to 10.", examples=["1"])
