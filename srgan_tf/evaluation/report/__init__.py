"""The report, a folder: what was measured and how, as text, as data, as figures and as a page to compare on."""

from srgan_tf.evaluation.report.writer import check_target, write_comparison, write_report

__all__ = ["check_target", "write_comparison", "write_report"]
