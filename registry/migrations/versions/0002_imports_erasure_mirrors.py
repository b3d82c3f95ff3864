"""Imports in parts, erasure, and what a mirror knows of its upstream.

Revision ID: 0002
Revises: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = '0002'
down_revision = '0001'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('mirrored',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('upstream', sa.Text(), nullable=False),
    sa.Column('verifier', sa.Text(), nullable=False),
    sa.Column('note', sa.Text(), nullable=False),
    sa.Column('synced_at', sa.BigInteger(), nullable=False),
    sa.PrimaryKeyConstraint('id')
    )
    op.create_table('withdrawn_work',
    sa.Column('from_seq', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('ordinal', sa.Integer(), autoincrement=False, nullable=False),
    sa.Column('to_seq', sa.BigInteger(), nullable=False),
    sa.PrimaryKeyConstraint('from_seq', 'ordinal')
    )
    op.create_table('import_batch',
    sa.Column('id', sa.String(length=32), nullable=False),
    sa.Column('principal_id', sa.String(length=32), nullable=False),
    sa.Column('namespace', sa.String(length=64), nullable=False),
    sa.Column('state', sa.String(length=16), nullable=False),
    sa.Column('opened_at', sa.BigInteger(), nullable=False),
    sa.Column('draft', sa.Text(), nullable=False),
    sa.Column('parts', sa.Integer(), nullable=True),
    sa.Column('works', sa.BigInteger(), nullable=True),
    sa.Column('digest', sa.LargeBinary(), nullable=True),
    sa.Column('note', sa.Text(), nullable=True),
    sa.ForeignKeyConstraint(['principal_id'], ['principal.id'], ),
    sa.PrimaryKeyConstraint('id')
    )
    op.create_index(op.f('ix_import_batch_principal_id'), 'import_batch', ['principal_id'], unique=False)
    op.create_table('import_part',
    sa.Column('seq', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('batch_id', sa.String(length=32), nullable=False),
    sa.Column('number', sa.Integer(), nullable=False),
    sa.Column('works', sa.Integer(), nullable=False),
    sa.Column('body_sha256', sa.LargeBinary(), nullable=False),
    sa.Column('blob', sa.LargeBinary(), nullable=False),
    sa.ForeignKeyConstraint(['batch_id'], ['import_batch.id'], ),
    sa.PrimaryKeyConstraint('seq'),
    sa.UniqueConstraint('batch_id', 'number')
    )
    if op.get_bind().dialect.name == 'postgresql':
        # Single works are read out of a blob; from a compressed one that would take all that lies before.
        op.execute('ALTER TABLE import_part ALTER COLUMN blob SET STORAGE EXTERNAL')
    op.add_column('event', sa.Column('erased_by', sa.BigInteger(), nullable=True))
    op.create_index(op.f('ix_event_record'), 'event', ['record'], unique=False)
    op.create_index(op.f('ix_event_erased_by'), 'event', ['erased_by'], unique=False)
    op.add_column('principal', sa.Column('import_key', sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column('principal', 'import_key')
    op.drop_index(op.f('ix_event_erased_by'), table_name='event')
    op.drop_index(op.f('ix_event_record'), table_name='event')
    op.drop_column('event', 'erased_by')
    op.drop_table('import_part')
    op.drop_index(op.f('ix_import_batch_principal_id'), table_name='import_batch')
    op.drop_table('import_batch')
    op.drop_table('withdrawn_work')
    op.drop_table('mirrored')
