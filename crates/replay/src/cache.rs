//! Responses that were served lately.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;

use crate::answer::Answer;

/// Responses by recording, up to so many bytes: the young ones, and those that were young before.
#[derive(Debug)]
pub(crate) struct Cache {
    capacity: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    young: HashMap<u32, Arc<Answer>>,
    old: HashMap<u32, Arc<Answer>>,
    /// The size of the young ones, in bytes.
    size: usize,
}

impl Cache {
    /// Holds at most `capacity` bytes.
    pub(crate) fn new(capacity: usize) -> Self {
        Self { capacity, state: Mutex::default() }
    }

    pub(crate) fn get(&self, recording: u32) -> Option<Arc<Answer>> {
        let mut state = self.state.lock();
        if let Some(answer) = state.young.get(&recording) {
            return Some(Arc::clone(answer));
        }
        let answer = state.old.remove(&recording)?;
        let dropped = state.add(recording, Arc::clone(&answer), self.capacity);
        drop(state);
        drop(dropped);
        Some(answer)
    }

    pub(crate) fn put(&self, recording: u32, answer: Arc<Answer>) {
        if answer.size() > self.capacity / 4 {
            return;
        }
        // What is dropped may be much, and is dropped without the lock.
        let dropped = self.state.lock().add(recording, answer, self.capacity);
        drop(dropped);
    }
}

impl State {
    /// Adds a response; returns those that are too many.
    fn add(&mut self, recording: u32, answer: Arc<Answer>, capacity: usize) -> HashMap<u32, Arc<Answer>> {
        let size = answer.size();
        let mut dropped = HashMap::new();
        if self.size + size > capacity / 2 {
            dropped = std::mem::replace(&mut self.old, std::mem::take(&mut self.young));
            self.size = 0;
        }
        if self.young.insert(recording, answer).is_none() {
            self.size += size;
        }
        dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(size: usize) -> Arc<Answer> {
        Arc::new(Answer::Incomplete("x".repeat(size - 64)))
    }

    #[test]
    fn it_holds_what_was_used_last_and_no_more_than_its_capacity() {
        let cache = Cache::new(1000);
        for recording in 0..100 {
            cache.put(recording, answer(100));
            // Always in use.
            assert!(cache.get(0).is_some(), "{recording}");
        }
        let held = |state: &State| state.young.values().chain(state.old.values()).map(|a| a.size()).sum::<usize>();
        assert!(held(&cache.state.lock()) <= 1000);
        assert!(cache.get(99).is_some() && cache.get(50).is_none());
        cache.put(200, answer(600));
        assert!(cache.get(200).is_none());
    }
}
