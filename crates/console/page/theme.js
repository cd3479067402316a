// Sets the chosen colours before anything is drawn, so that nothing flashes. Not a module: those run too late.
"use strict";
try {
	const theme = localStorage.getItem("nightaudit.theme");
	if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
	// Storage is blocked: the system's colours.
}
