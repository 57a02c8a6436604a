// transformers.js on files of models that see, hear and speak.
//
//   node pipelines.mjs PROGRAM CACHE WORK      as test.mjs
import './vision.mjs';
import './prompted.mjs';
import './audio.mjs';
import './speech.mjs';
