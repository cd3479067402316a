//! The cursor in the list.

use super::{layout, model::Model};

impl Model {
    /// Scrolls to the selection.
    pub(super) fn settle(&mut self) {
        let height = layout::list_height(self);
        self.selected = self.selected.min(self.rows.len().saturating_sub(1));
        let lowest = (self.selected + 1).saturating_sub(height);
        let highest = self.selected.min(self.rows.len().saturating_sub(height).max(lowest));
        self.top = self.top.clamp(lowest, highest.max(lowest));
    }

    /// Moves the cursor; leaving the newest row stops following.
    pub(super) fn go(&mut self, by: isize) {
        let last = self.rows.len().saturating_sub(1);
        self.selected = self.selected.saturating_add_signed(by).min(last);
        if by < 0 {
            self.follow = false;
        }
        self.settle();
    }
}
