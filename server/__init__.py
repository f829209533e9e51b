"""The authority: catalogue, prices, customers, stock and orders, and the log that carries them to devices.

The standard library's SQLite may carry the WAL-reset bug (3.7.0 to 3.51.2); pysqlite3 brings a newer one and takes its
place before anything imports it.
"""

import sys

import pysqlite3
import pysqlite3.dbapi2

sys.modules["sqlite3"] = pysqlite3
sys.modules["sqlite3.dbapi2"] = pysqlite3.dbapi2
