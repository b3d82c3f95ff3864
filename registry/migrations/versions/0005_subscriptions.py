"""Subscriptions: what is watched for whom, what was found, and what is to be sent.

Revision ID: 0005
Revises: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = '0005'
down_revision = '0004'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('subscription',
    sa.Column('id', sa.String(length=32), nullable=False),
    sa.Column('principal_id', sa.String(length=32), nullable=False),
    sa.Column('label', sa.String(length=200), nullable=False),
    sa.Column('use', sa.String(length=16), nullable=False),
    sa.Column('mode', sa.String(length=16), nullable=False),
    sa.Column('as_of_seq', sa.BigInteger(), nullable=False),
    sa.Column('receipt', sa.String(length=32), nullable=True),
    sa.Column('webhook', sa.Text(), nullable=True),
    sa.Column('hook_state', sa.String(length=8), nullable=False),
    sa.Column('secret', sa.LargeBinary(), nullable=False),
    sa.Column('items', sa.BigInteger(), nullable=False),
    sa.Column('notices', sa.BigInteger(), nullable=False),
    sa.Column('at', sa.BigInteger(), nullable=False),
    sa.Column('fault', sa.Text(), nullable=False),
    sa.Column('fault_at', sa.BigInteger(), nullable=True),
    sa.ForeignKeyConstraint(['principal_id'], ['principal.id'], ),
    sa.PrimaryKeyConstraint('id')
    )
    op.create_index(op.f('ix_subscription_principal_id'), 'subscription', ['principal_id'], unique=False)
    op.create_index(op.f('ix_subscription_receipt'), 'subscription', ['receipt'], unique=False)
    op.create_table('subscription_block',
    sa.Column('subscription_id', sa.String(length=32), nullable=False),
    sa.Column('part', sa.Integer(), autoincrement=False, nullable=False),
    sa.Column('items', sa.Integer(), nullable=False),
    sa.Column('checked_seq', sa.BigInteger(), nullable=True),
    sa.Column('sha256', sa.LargeBinary(), nullable=False),
    sa.Column('packed', sa.LargeBinary(), nullable=False),
    sa.Column('wires', sa.LargeBinary(), nullable=False),
    sa.ForeignKeyConstraint(['subscription_id'], ['subscription.id'], ),
    sa.PrimaryKeyConstraint('subscription_id', 'part')
    )
    op.create_index(op.f('ix_subscription_block_checked_seq'), 'subscription_block', ['checked_seq'], unique=False)
    op.create_table('subscription_notice',
    sa.Column('subscription_id', sa.String(length=32), nullable=False),
    sa.Column('number', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('part', sa.Integer(), nullable=False),
    sa.Column('place', sa.Integer(), nullable=False),
    sa.Column('item', sa.Text(), nullable=False),
    sa.Column('kind', sa.String(length=12), nullable=False),
    sa.Column('standing', sa.Boolean(), nullable=False),
    sa.Column('seq', sa.BigInteger(), nullable=False),
    sa.Column('at', sa.BigInteger(), nullable=False),
    sa.Column('result', sa.Text(), nullable=False),
    sa.ForeignKeyConstraint(['subscription_id'], ['subscription.id'], ),
    sa.PrimaryKeyConstraint('subscription_id', 'number')
    )
    op.create_index('ix_subscription_notice_item', 'subscription_notice', ['subscription_id', 'standing', 'part', 'place'], unique=False)
    op.create_table('subscription_delivery',
    sa.Column('id', sa.String(length=40), nullable=False),
    sa.Column('subscription_id', sa.String(length=32), nullable=False),
    sa.Column('first', sa.BigInteger(), nullable=False),
    sa.Column('last', sa.BigInteger(), nullable=False),
    sa.Column('state', sa.String(length=8), nullable=False),
    sa.Column('tries', sa.Integer(), nullable=False),
    sa.Column('begun_at', sa.BigInteger(), nullable=False),
    sa.Column('due_at', sa.BigInteger(), nullable=False),
    sa.Column('fault', sa.Text(), nullable=False),
    sa.ForeignKeyConstraint(['subscription_id'], ['subscription.id'], ),
    sa.PrimaryKeyConstraint('id')
    )
    op.create_index(op.f('ix_subscription_delivery_subscription_id'), 'subscription_delivery', ['subscription_id'], unique=False)
    op.create_index('ix_subscription_delivery_due', 'subscription_delivery', ['state', 'due_at'], unique=False)


def downgrade() -> None:
    op.drop_index('ix_subscription_delivery_due', table_name='subscription_delivery')
    op.drop_index(op.f('ix_subscription_delivery_subscription_id'), table_name='subscription_delivery')
    op.drop_table('subscription_delivery')
    op.drop_index('ix_subscription_notice_item', table_name='subscription_notice')
    op.drop_table('subscription_notice')
    op.drop_index(op.f('ix_subscription_block_checked_seq'), table_name='subscription_block')
    op.drop_table('subscription_block')
    op.drop_index(op.f('ix_subscription_receipt'), table_name='subscription')
    op.drop_index(op.f('ix_subscription_principal_id'), table_name='subscription')
    op.drop_table('subscription')
