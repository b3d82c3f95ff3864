"""Records that published receipts name; records whose label, terms and contact are public.

Revision ID: 0006
Revises: 0005
"""

import sqlalchemy as sa
from alembic import op

revision = '0006'
down_revision = '0005'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('mention_row',
    sa.Column('id', sa.String(length=32), nullable=False),
    sa.Column('from_seq', sa.BigInteger(), nullable=False),
    sa.Column('receipt_id', sa.String(length=32), nullable=False),
    sa.Column('reservation_id', sa.String(length=32), nullable=False),
    sa.Column('kind', sa.String(length=10), nullable=False),
    sa.Column('grant_id', sa.String(length=32), nullable=False),
    sa.Column('at', sa.BigInteger(), nullable=False),
    sa.PrimaryKeyConstraint('id'),
    sa.UniqueConstraint('from_seq'),
    sa.UniqueConstraint('receipt_id', 'kind', 'reservation_id', 'grant_id')
    )
    op.create_index(op.f('ix_mention_row_reservation_id'), 'mention_row', ['reservation_id'], unique=False)
    op.add_column(
        'reservation_version',
        sa.Column('public', sa.Boolean(), server_default=sa.false(), nullable=False),
    )


def downgrade() -> None:
    op.drop_column('reservation_version', 'public')
    op.drop_index(op.f('ix_mention_row_reservation_id'), table_name='mention_row')
    op.drop_table('mention_row')
