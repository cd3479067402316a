/**
 * Runs `look` now and so many milliseconds after it has ended, not while the tab is hidden, until the signal aborts. What it
 * throws is given to `failed`, and the pause doubles up to ten seconds.
 * @param {number} ms
 * @param {AbortSignal} signal
 * @param {() => Promise<void>} look
 * @param {(error: unknown) => void} [failed]
 */
export async function poll(ms, signal, look, failed) {
	for (let wait = ms; !signal.aborted; ) {
		try {
			await look();
			wait = ms;
		} catch (error) {
			if (signal.aborted) return;
			failed?.(error);
			wait = Math.min(Math.max(wait, 500) * 2, 10_000);
		}
		do await new Promise((done) => setTimeout(done, wait)); while (document.hidden && !signal.aborted);
	}
}
