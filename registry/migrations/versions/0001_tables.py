"""The registry's tables.

Revision ID: 0001
Revises: nothing
"""

import sqlalchemy as sa
from alembic import op

revision = '0001'
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('event',
    sa.Column('seq', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('op', sa.String(length=16), nullable=False),
    sa.Column('record', sa.String(length=32), nullable=False),
    sa.Column('at', sa.BigInteger(), nullable=False),
    sa.Column('salt', sa.LargeBinary(), nullable=False),
    sa.Column('leaf', sa.LargeBinary(), nullable=False),
    sa.PrimaryKeyConstraint('seq')
    )
    op.create_table('head',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('n', sa.BigInteger(), nullable=False),
    sa.PrimaryKeyConstraint('id')
    )
    op.create_table('idempotency',
    sa.Column('principal_id', sa.String(length=32), nullable=False),
    sa.Column('key', sa.String(length=200), nullable=False),
    sa.Column('request_sha256', sa.LargeBinary(), nullable=False),
    sa.Column('answer', sa.Text(), nullable=False),
    sa.Column('at', sa.BigInteger(), nullable=False),
    sa.PrimaryKeyConstraint('principal_id', 'key')
    )
    op.create_table('principal',
    sa.Column('id', sa.String(length=32), nullable=False),
    sa.Column('name', sa.String(length=200), nullable=False),
    sa.Column('created_at', sa.BigInteger(), nullable=False),
    sa.PrimaryKeyConstraint('id')
    )
    op.create_table('url_rule',
    sa.Column('from_seq', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('ordinal', sa.Integer(), autoincrement=False, nullable=False),
    sa.Column('to_seq', sa.BigInteger(), nullable=True),
    sa.Column('reservation_id', sa.String(length=32), nullable=False),
    sa.Column('kind', sa.String(length=8), nullable=False),
    sa.Column('surt', sa.Text(), nullable=False),
    sa.Column('key', sa.LargeBinary(), nullable=False),
    sa.PrimaryKeyConstraint('from_seq', 'ordinal')
    )
    op.create_index(op.f('ix_url_rule_reservation_id'), 'url_rule', ['reservation_id'], unique=False)
    op.create_index('ix_url_rule_to_seq', 'url_rule', ['to_seq'], unique=False)
    op.create_table('work',
    sa.Column('from_seq', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('ordinal', sa.Integer(), autoincrement=False, nullable=False),
    sa.Column('to_seq', sa.BigInteger(), nullable=True),
    sa.Column('reservation_id', sa.String(length=32), nullable=False),
    sa.Column('title', sa.String(length=200), nullable=False),
    sa.Column('url', sa.Text(), nullable=True),
    sa.Column('url_key', sa.LargeBinary(), nullable=True),
    sa.Column('sha256', sa.LargeBinary(), nullable=True),
    sa.Column('packed', sa.LargeBinary(), nullable=True),
    sa.PrimaryKeyConstraint('from_seq', 'ordinal')
    )
    op.create_index(op.f('ix_work_reservation_id'), 'work', ['reservation_id'], unique=False)
    op.create_index('ix_work_to_seq', 'work', ['to_seq'], unique=False)
    op.create_table('credential',
    sa.Column('id', sa.String(length=32), nullable=False),
    sa.Column('principal_id', sa.String(length=32), nullable=False),
    sa.Column('sha256', sa.LargeBinary(), nullable=False),
    sa.Column('scopes', sa.Text(), nullable=False),
    sa.Column('evidence_level', sa.Integer(), nullable=False),
    sa.Column('created_at', sa.BigInteger(), nullable=False),
    sa.Column('revoked_at', sa.BigInteger(), nullable=True),
    sa.ForeignKeyConstraint(['principal_id'], ['principal.id'], ),
    sa.PrimaryKeyConstraint('id'),
    sa.UniqueConstraint('sha256')
    )
    op.create_index(op.f('ix_credential_principal_id'), 'credential', ['principal_id'], unique=False)
    op.create_table('reservation_version',
    sa.Column('reservation_id', sa.String(length=32), nullable=False),
    sa.Column('from_seq', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('to_seq', sa.BigInteger(), nullable=True),
    sa.Column('principal_id', sa.String(length=32), nullable=False),
    sa.Column('preferences', sa.Text(), nullable=False),
    sa.Column('label', sa.String(length=200), nullable=False),
    sa.Column('terms', sa.Text(), nullable=False),
    sa.Column('contact', sa.Text(), nullable=False),
    sa.Column('evidence_level', sa.Integer(), nullable=False),
    sa.Column('state', sa.String(length=16), nullable=False),
    sa.Column('at', sa.BigInteger(), nullable=False),
    sa.ForeignKeyConstraint(['principal_id'], ['principal.id'], ),
    sa.PrimaryKeyConstraint('reservation_id', 'from_seq')
    )
    op.create_index('ix_reservation_from_seq', 'reservation_version', ['from_seq'], unique=False)
    op.create_index('ix_reservation_to_seq', 'reservation_version', ['to_seq'], unique=False)
    op.create_index(op.f('ix_reservation_version_principal_id'), 'reservation_version', ['principal_id'], unique=False)
    op.execute("INSERT INTO head (id, n) VALUES (1, 0)")


def downgrade() -> None:
    op.drop_index(op.f('ix_reservation_version_principal_id'), table_name='reservation_version')
    op.drop_index('ix_reservation_to_seq', table_name='reservation_version')
    op.drop_index('ix_reservation_from_seq', table_name='reservation_version')
    op.drop_table('reservation_version')
    op.drop_index(op.f('ix_credential_principal_id'), table_name='credential')
    op.drop_table('credential')
    op.drop_index('ix_work_to_seq', table_name='work')
    op.drop_index(op.f('ix_work_reservation_id'), table_name='work')
    op.drop_table('work')
    op.drop_index('ix_url_rule_to_seq', table_name='url_rule')
    op.drop_index(op.f('ix_url_rule_reservation_id'), table_name='url_rule')
    op.drop_table('url_rule')
    op.drop_table('principal')
    op.drop_table('idempotency')
    op.drop_table('head')
    op.drop_table('event')
