//! The report as a folder: JSON for programs, Markdown and HTML for people, and the charts as files of their own.

use std::path::Path;

use anyhow::Context;

use super::html::page;
use super::markdown::markdown;
use super::{Report, charts};

/// Writes all of it into a folder, which is made if it isn't there.
pub(crate) fn write(report: &Report, folder: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("can't make the folder {}", folder.display()))?;
    let charts = charts(report).context("can't draw the charts")?;
    let file = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).with_context(|| format!("can't write {}", path.display()))
    };
    for chart in &charts {
        file(&format!("{}.svg", chart.name), &chart.svg)?;
    }
    file("report.json", &(serde_json::to_string(report)? + "\n"))?;
    file("report.md", &markdown(report, &charts))?;
    file("report.html", &page(report, &charts))
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::report;
    use super::*;

    #[test]
    fn what_is_written_can_be_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let report = report();
        write(&report, &folder.path().join("report")).unwrap();
        let text = std::fs::read_to_string(folder.path().join("report/report.json")).unwrap();
        let again: Report = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::to_value(&again).unwrap(), serde_json::to_value(&report).unwrap());
        for name in ["report.md", "report.html", "distribution-1.svg"] {
            assert!(folder.path().join("report").join(name).exists(), "{name}");
        }
    }
}
