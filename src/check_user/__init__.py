"""check_user: recipient verification for mail servers.

A mail server asks about one envelope recipient; the answer is DENY (it does not exist), DECLINED
(it does, or it is not ours to say) or DENYSOFT (we cannot tell now). See ``docs/design.md`` for the
plan of the package.
"""

__version__ = "0.1.0"
