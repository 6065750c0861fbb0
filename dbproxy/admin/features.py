"""SHOW FEATURES: where each feature stands, and what was counted of the sessions with it and without it."""

from collections import Counter
from collections.abc import Iterator

from dbproxy.admin.house import House
from dbproxy.admin.table import Table, columns
from dbproxy.features.mode import Feature
from dbproxy.observe.figures import FeatureFigures
from dbproxy.pool.pool import Pool

FEATURES = columns(
    "feature:s database:s user:s mode:s percent:i arm:s sessions:i requests:q errors:q avg_us:q"
)


def show_features(house: House) -> Table:
    return Table(
        FEATURES,
        (
            (
                arm.feature,
                arm.database,
                arm.user,
                arm.mode,
                arm.percent,
                arm.name,
                arm.sessions,
                arm.requests,
                arm.errors,
                arm.microseconds // arm.requests if arm.requests else 0,
            )
            for arm in feature_figures(house)
        ),
    )


def feature_figures(house: House) -> list[FeatureFigures]:
    """One for each arm of each feature."""
    return [
        figures
        for pool in house.pools.values()
        for feature in pool.tenant.features
        for figures in _read(house, pool, feature)
    ]


def _read(house: House, pool: Pool, feature: Feature) -> Iterator[FeatureFigures]:
    """A session counts where it stands from its next transaction on."""
    logins = (login for login in house.registry if login.client is not None and login.pool is pool)
    sessions = Counter(
        feature.arm_of(login.identity.id, always=login.identity.read_only).name for login in logins
    )
    for arm in feature.arms():
        yield FeatureFigures(
            feature=feature.name,
            database=pool.database,
            user=pool.user,
            mode=feature.mode,
            percent=feature.percent,
            name=arm.name,
            sessions=sessions[arm.name],
            requests=arm.requests,
            errors=arm.errors,
            microseconds=arm.microseconds,
        )
