'use strict';
/* Loaded once in the pool's time, so that the loader of CommonJS modules is ready. */
exports.ready = () => true;
