/* Loaded once in the pool's time, so that the loader of ES modules is ready. */
export const ready = true;
