"""The report: a folder with text, data and figures of the scores, and a page to compare images."""

from srgan_tf.evaluation.report.writer import check_target, write_comparison, write_report

__all__ = ["check_target", "write_comparison", "write_report"]
