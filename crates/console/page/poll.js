/**
 * Runs `look` now and so many milliseconds after it has ended, not while the tab is hidden, until the signal aborts. Its own
 * signal aborts once the tab is hidden: browsers share few connections among all tabs. What it throws is given to `failed`,
 * and the pause doubles up to ten seconds.
 * @param {number} ms
 * @param {AbortSignal} signal
 * @param {(signal: AbortSignal) => Promise<void>} look
 * @param {(error: unknown) => void} [failed]
 */
export async function poll(ms, signal, look, failed) {
	for (let wait = ms; !signal.aborted; ) {
		const seen = new AbortController();
		const hide = () => document.hidden && seen.abort();
		document.addEventListener("visibilitychange", hide);
		try {
			await look(AbortSignal.any([signal, seen.signal]));
			wait = ms;
		} catch (error) {
			if (signal.aborted) return;
			if (!seen.signal.aborted) {
				failed?.(error);
				wait = Math.min(Math.max(wait, 500) * 2, 10_000);
			}
		} finally {
			document.removeEventListener("visibilitychange", hide);
		}
		do await new Promise((done) => setTimeout(done, wait)); while (document.hidden && !signal.aborted);
	}
}
