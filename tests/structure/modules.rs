//! The modules of a crate, and which of them use which.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use crate::{imports::Names, source};

/// A crate's modules, each a file.
#[derive(Debug)]
pub(crate) struct Modules {
    modules: Vec<Module>,
    /// What each module uses of which others.
    uses: Vec<BTreeMap<usize, BTreeSet<String>>>,
}

#[derive(Debug)]
struct Module {
    file: PathBuf,
    parent: Option<usize>,
    children: BTreeMap<String, usize>,
    names: Names,
}

impl Modules {
    /// The modules of the crate with this root.
    pub(crate) fn read(root: &Path) -> Self {
        let mut found = Self { modules: Vec::new(), uses: Vec::new() };
        found.add(root.to_owned(), root.parent().unwrap().to_owned(), None);
        found.uses = (0..found.modules.len()).map(|module| found.used_by(module)).collect();
        found
    }

    /// Adds a file and its children, which are in `folder`.
    fn add(&mut self, file: PathBuf, folder: PathBuf, parent: Option<usize>) -> usize {
        let text = fs::read_to_string(&file).unwrap();
        let names = Names::of(&source::tokens(&text));
        let index = self.modules.len();
        let declared = names.children.clone();
        self.modules.push(Module { file, parent, children: BTreeMap::new(), names });
        for child in declared {
            let below = folder.join(&child);
            let files = [folder.join(format!("{child}.rs")), below.join("mod.rs")];
            let file = files.into_iter().find(|file| file.exists()).unwrap_or_else(|| panic!("no file of {child}"));
            let added = self.add(file, below, Some(index));
            self.modules[index].children.insert(child, added);
        }
        index
    }

    /// The file of a module.
    pub(crate) fn file(&self, module: usize) -> &Path {
        &self.modules[module].file
    }

    fn used_by(&self, module: usize) -> BTreeMap<usize, BTreeSet<String>> {
        let names = &self.modules[module].names;
        let imported = names.imports.iter().filter(|import| !import.handed_on).map(|import| &import.path);
        let mut uses = BTreeMap::<_, BTreeSet<_>>::new();
        for path in imported.chain(&names.paths) {
            if let Some((used, name)) = self.definer(module, path, 0)
                && used != module
            {
                uses.entry(used).or_default().insert(name);
            }
        }
        uses
    }

    /// The module that defines what a path means in `module`, and its name there. A module itself is no definition.
    fn definer(&self, module: usize, path: &[String], depth: usize) -> Option<(usize, String)> {
        // A name that is imported from itself in a circle of globs.
        if depth > 16 {
            return None;
        }
        let mut module = module;
        let mut rest = path;
        let mut is_first = true;
        while let [name, after @ ..] = rest {
            let inner = &self.modules[module];
            let next = match name.as_str() {
                "crate" => Some(0),
                "self" => Some(module),
                "super" => inner.parent,
                "*" => return Some((module, "*".to_owned())),
                name => inner.children.get(name).copied(),
            };
            if let Some(next) = next {
                (module, rest, is_first) = (next, after, false);
                continue;
            }
            if !is_first && inner.names.defined.contains(name) {
                return Some((module, name.clone()));
            }
            let import = inner.names.imports.iter().find(|import| import.name == *name && import.path != path);
            if let Some(import) = import {
                let whole: Vec<String> = import.path.iter().chain(after).cloned().collect();
                return self.definer(module, &whole, depth + 1);
            }
            let globs = inner.names.imports.iter().filter(|import| import.name == "*");
            for glob in globs.filter(|_| depth < 8) {
                let (_, of) = glob.path.split_last()?;
                let whole: Vec<String> = of.iter().chain(rest).cloned().collect();
                if let Some(found) = self.definer(module, &whole, depth + 8) {
                    return Some(found);
                }
            }
            // The first name of a path may be another crate or a type of this module.
            return (!is_first).then(|| (module, name.clone()));
        }
        None
    }

    /// The groups of modules each of which depends on all others of its group.
    pub(crate) fn circles(&self) -> Vec<Vec<usize>> {
        let reached: Vec<BTreeSet<usize>> = (0..self.modules.len()).map(|module| self.reached(module)).collect();
        let mut circles = BTreeSet::new();
        for module in 0..self.modules.len() {
            let circle: Vec<usize> =
                reached[module].iter().copied().filter(|other| reached[*other].contains(&module)).collect();
            if circle.len() > 1 {
                circles.insert(circle);
            }
        }
        circles.into_iter().collect()
    }

    /// The modules that `module` depends on, directly or not.
    fn reached(&self, module: usize) -> BTreeSet<usize> {
        let mut reached = BTreeSet::new();
        let mut next = vec![module];
        while let Some(module) = next.pop() {
            next.extend(self.uses[module].keys().filter(|used| reached.insert(**used)));
        }
        reached
    }

    /// The uses within a circle, for people.
    pub(crate) fn uses(&self, circle: &[usize]) -> String {
        let mut lines = String::new();
        for user in circle {
            for (used, names) in self.uses[*user].iter().filter(|(used, _)| circle.contains(used)) {
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                let (user, used) = (self.file(*user).display(), self.file(*used).display());
                lines += &format!("  {user} -> {used}: {}\n", names.join(", "));
            }
        }
        lines
    }
}
