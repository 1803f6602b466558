"""RECOMMENDATION_WEIGHTS: what it accepts, and that nonsense stops the start with one line."""

import pytest

from library_server.config import DEFAULT_WEIGHTS, Config, ConfigError

NEEDED = {"SECRET_KEY": "x" * 32, "DATABASE_URL": "postgresql://", "REDIS_URL": "redis://"}


def weights(value):
    return Config.load(NEEDED | {"RECOMMENDATION_WEIGHTS": value}).recommendation_weights


def test_what_is_not_named_keeps_its_default():
    assert weights("") == Config.load(NEEDED).recommendation_weights == DEFAULT_WEIGHTS
    assert weights(" skill_need = 1 ,week=0") == DEFAULT_WEIGHTS | {"skill_need": 1, "week": 0}
    assert sum(DEFAULT_WEIGHTS.values()) == pytest.approx(1)


@pytest.mark.parametrize(
    "value",
    [
        "skill",
        "skill=",
        "=1",
        "skill_need=-1",
        "skill_need=nan",
        "skill_need=1e9",
        "skill_need=٣",
        "other=1",
        ",",
        {"week": 1},
    ],
)
def test_what_is_no_weight_stops_the_start(value):
    with pytest.raises(ConfigError, match=r"^RECOMMENDATION_WEIGHTS [^\n]+$"):
        weights(value)


def test_one_weight_is_above_zero():
    with pytest.raises(ConfigError, match="one weight above 0"):
        weights(",".join(f"{name}=0" for name in DEFAULT_WEIGHTS))
