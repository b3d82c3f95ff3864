"""Grants.

Revision ID: 0003
Revises: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = '0003'
down_revision = '0002'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('grant_row',
    sa.Column('id', sa.String(length=32), nullable=False),
    sa.Column('from_seq', sa.BigInteger(), nullable=False),
    sa.Column('to_seq', sa.BigInteger(), nullable=True),
    sa.Column('reservation_id', sa.String(length=32), nullable=False),
    sa.Column('works', sa.Text(), nullable=True),
    sa.Column('uses', sa.Text(), nullable=False),
    sa.Column('licensee', sa.String(length=200), nullable=False),
    sa.Column('licensee_url', sa.Text(), nullable=False),
    sa.Column('valid_from', sa.BigInteger(), nullable=False),
    sa.Column('valid_until', sa.BigInteger(), nullable=False),
    sa.Column('terms', sa.Text(), nullable=False),
    sa.Column('contact', sa.Text(), nullable=False),
    sa.Column('at', sa.BigInteger(), nullable=False),
    sa.PrimaryKeyConstraint('id'),
    sa.UniqueConstraint('from_seq')
    )
    op.create_index(op.f('ix_grant_row_reservation_id'), 'grant_row', ['reservation_id'], unique=False)
    op.create_index(op.f('ix_grant_row_to_seq'), 'grant_row', ['to_seq'], unique=False)


def downgrade() -> None:
    op.drop_index(op.f('ix_grant_row_to_seq'), table_name='grant_row')
    op.drop_index(op.f('ix_grant_row_reservation_id'), table_name='grant_row')
    op.drop_table('grant_row')
