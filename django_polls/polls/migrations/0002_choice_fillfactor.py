"""Leave room in each page of the table with the votes.

With it, an UPDATE of a vote stays in its page and changes no index (a HOT update). Rows move to such pages as they are
updated. The statement does not rewrite the table or block votes.
"""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("polls", "0001_initial")]

    operations = [
        migrations.RunSQL(
            "ALTER TABLE polls_choice SET (fillfactor = 70)",
            "ALTER TABLE polls_choice RESET (fillfactor)",
        )
    ]
