"""Tables that an older add-on made get the columns that they lack."""

from __future__ import annotations

from sqlalchemy import create_engine, inspect, text

from dstack_placement.server.base.tables import Base, PlacementRow, add_columns


def test_tables_of_an_older_add_on_get_what_they_lack() -> None:
    name = PlacementRow.__tablename__
    with create_engine("sqlite://").begin() as connection:
        Base.metadata.create_all(connection)
        connection.execute(text(f"ALTER TABLE {name} DROP COLUMN cause"))
        for _ in range(2):  # the second time there is nothing to do
            add_columns(connection)
            columns = {each["name"]: each for each in inspect(connection).get_columns(name)}
            assert columns["cause"]["nullable"]
            assert set(columns) == {column.name for column in PlacementRow.__table__.columns}
