//! [`Table`]: rows for people, in columns.

use crate::text::{cut, printable};

/// The largest width of a column on a terminal. Elsewhere, nothing is cut.
const WIDEST: usize = 40;

/// Writes rows page by page, so that a long list need not be in memory: a later page may widen
/// the columns.
pub(crate) struct Table<const N: usize> {
    header: Option<[&'static str; N]>,
    widths: [usize; N],
    cuts: bool,
}

impl<const N: usize> Table<N> {
    pub(crate) fn new(header: [&'static str; N], is_terminal: bool) -> Self {
        Self { header: Some(header), widths: [0; N], cuts: is_terminal }
    }

    /// Returns the lines of a page, the first time with the header.
    pub(crate) fn page(&mut self, rows: Vec<[String; N]>) -> String {
        let header = self.header.take().map(|header| header.map(str::to_owned));
        let rows: Vec<_> =
            header.into_iter().chain(rows).map(|row| row.map(|cell| self.shown(&cell))).collect();
        for row in &rows {
            for (width, cell) in self.widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        rows.iter().map(|row| self.line(row)).collect()
    }

    fn shown(&self, cell: &str) -> String {
        let cell = printable(cell);
        if self.cuts { cut(&cell, WIDEST).into_owned() } else { cell.into_owned() }
    }

    fn line(&self, row: &[String; N]) -> String {
        let cells = row.iter().zip(self.widths).map(|(cell, width)| format!("{cell:width$}"));
        let line = cells.collect::<Vec<_>>().join("  ");
        format!("{}\n", line.trim_end())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_widen_with_later_pages() {
        let mut table = Table::new(["ID", "NAME", "STATE"], false);
        let row = |name: &str| ["1", name, "ok"].map(str::to_owned);
        assert_eq!(
            table.page(vec![row("\u{e4}\u{e4}")]),
            "ID  NAME  STATE\n1   \u{e4}\u{e4}    ok\n"
        );
        assert_eq!(table.page(vec![row("longer")]), "1   longer  ok\n");
    }

    #[test]
    fn long_values_are_cut_on_a_terminal_only() {
        let long = "x".repeat(100);
        let page = |is_terminal| Table::new(["NAME"], is_terminal).page(vec![[long.clone()]]);
        assert!(page(false).contains(&long));
        assert_eq!(page(true), format!("NAME\n{}\u{2026}\n", "x".repeat(39)));
    }
}
