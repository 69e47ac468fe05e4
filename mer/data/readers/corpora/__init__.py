"""Published corpora, each a description; the facts of their files and where they are from are in docs/corpora.md.

iemocap      IEMOCAP, of six and of four classes
cremad       CREMA-D
dailydialog  DailyDialog
m3ed         M3ED
sentiment    CMU-MOSI, CMU-MOSEI, CH-SIMS and CH-SIMS v2, as MMSA lays them out
mer2023      MER2023, and tables of its form
"""

from mer.data.readers.corpora.cremad import CREMAD
from mer.data.readers.corpora.dailydialog import DAILYDIALOG
from mer.data.readers.corpora.iemocap import IEMOCAP, IEMOCAP4
from mer.data.readers.corpora.m3ed import M3ED
from mer.data.readers.corpora.mer2023 import MER2023
from mer.data.readers.corpora.sentiment import MOSEI, MOSI, SIMS, SIMS_V2

DESCRIPTIONS = (IEMOCAP, IEMOCAP4, CREMAD, DAILYDIALOG, M3ED, MOSI, MOSEI, SIMS, SIMS_V2, MER2023)

__all__ = ["DESCRIPTIONS"]
