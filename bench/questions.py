"""Questions for a measurement, made by SQL in the database pod of the bench and removed afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # Only for types, so that the statements can be tested without the collection.
    from ground import Ground

# Start of the text of each question, by which they are found again.
TEXT = "Question of make bench "
CHOICES = 3
# Seconds that a statement may take on a slow disk.
SECONDS = 180.0


def inserting(schema: str, first: int, last: int) -> str:
    """Return a statement that adds questions, newest last, each with choices.

    Other columns have the values of an existing row, so that the statement suits later versions of the tables.
    """
    return f"""
        WITH question AS (
            INSERT INTO {schema}.polls_question
            SELECT made.* FROM generate_series({first}, {last}) number,
                (SELECT old FROM {schema}.polls_question old ORDER BY id LIMIT 1) base,
                jsonb_populate_record(base.old, jsonb_build_object(
                    'id', nextval(pg_get_serial_sequence('{schema}.polls_question', 'id')),
                    'text', '{TEXT}' || number,
                    'published_at', now() - interval '1 second' + number * interval '1 microsecond',
                    'closes_at', null
                )) made
            RETURNING id
        )
        INSERT INTO {schema}.polls_choice
        SELECT made.* FROM question, generate_series(1, {CHOICES}) place,
            (SELECT old FROM {schema}.polls_choice old ORDER BY id LIMIT 1) base,
            jsonb_populate_record(base.old, jsonb_build_object(
                'id', nextval(pg_get_serial_sequence('{schema}.polls_choice', 'id')),
                'question_id', question.id, 'position', place, 'text', 'Choice ' || place, 'votes', 0
            )) made
    """


def removing(schema: str) -> list[str]:
    """Return statements that remove these questions and their choices."""
    ours = f"SELECT id FROM {schema}.polls_question WHERE text LIKE '{TEXT}%'"
    return [
        f"DELETE FROM {schema}.polls_choice WHERE question_id IN ({ours})",
        f"DELETE FROM {schema}.polls_question WHERE text LIKE '{TEXT}%'",
    ]


def filled(ground: Ground, number: int) -> str:
    """Add or remove questions until there are `number`; return the text of the newest one.

    Raises Failed if the site has no question, or too many of its own.
    """
    # Here, so that the statements can be tested without the tools of the playbooks.
    from plays import Failed

    schema = ground.app.replace("-", "_")
    own = int(ground.sql(f"SELECT count(*) FROM {schema}.polls_question WHERE text LIKE '{TEXT}%'"))
    others = int(ground.sql(f"SELECT count(*) FROM {schema}.polls_question")) - own
    if not others:
        raise Failed("The site has no question whose values the questions of the measurement could have. Create one.")
    if others >= number:
        raise Failed(f"The site has {others} questions of its own, so it cannot have {number} for the measurement.")
    if own > number - others:
        remove_questions(ground)
        own = 0
    if (wanted := number - others) > own:
        ground.sql(inserting(schema, own + 1, wanted), SECONDS)
    for table in ("polls_question", "polls_choice"):
        ground.sql(f"VACUUM (ANALYZE) {schema}.{table}", SECONDS)
    # Now, because it would slow down the requests of the measurement.
    ground.sql("CHECKPOINT", SECONDS)
    return f"{TEXT}{wanted}"


def remove_questions(ground: Ground) -> None:
    for statement in removing(ground.app.replace("-", "_")):
        ground.sql(statement, SECONDS)
