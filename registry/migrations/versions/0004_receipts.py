"""Receipts that were published.

Revision ID: 0004
Revises: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = '0004'
down_revision = '0003'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('receipt_row',
    sa.Column('id', sa.String(length=32), nullable=False),
    sa.Column('from_seq', sa.BigInteger(), nullable=False),
    sa.Column('sha256', sa.String(length=64), nullable=False),
    sa.Column('run', sa.String(length=64), nullable=False),
    sa.Column('bundle', sa.Text(), nullable=False),
    sa.Column('principal_id', sa.String(length=32), nullable=False),
    sa.Column('at', sa.BigInteger(), nullable=False),
    sa.PrimaryKeyConstraint('id'),
    sa.UniqueConstraint('from_seq')
    )
    op.create_index(op.f('ix_receipt_row_run'), 'receipt_row', ['run'], unique=True)


def downgrade() -> None:
    op.drop_index(op.f('ix_receipt_row_run'), table_name='receipt_row')
    op.drop_table('receipt_row')
