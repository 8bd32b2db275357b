// Express behind a function URL, through serverless-express.
const serverlessExpress = require('@codegenie/serverless-express');
const express = require('express');

const app = express();
app.set('query parser', 'extended');
app.use(express.json());
app.use(express.urlencoded({ extended: false }));
app.use(express.raw({ type: 'application/octet-stream' }));

app.get('/items/:id', (req, res) => {
  res.cookie('a', '1', { httpOnly: true });
  res.cookie('b', 'two words');
  res.set('X-Many', ['one', 'two']);
  res.json({ id: req.params.id, query: req.query, cookie: req.get('cookie'), many: req.get('x-in'), ip: req.ip,
    protocol: req.get('x-forwarded-proto'), host: req.hostname });
});
app.post('/echo', (req, res) => {
  const raw = Buffer.isBuffer(req.body);
  res.status(201).json({ type: req.get('content-type'), length: req.get('content-length'), raw,
    body: raw ? req.body.toString('hex') : req.body });
});
app.get('/bytes', (req, res) => {
  res.type('image/png').send(Buffer.from([0, 1, 2, 250, 255]));
});
app.get('/text', (req, res) => {
  res.type('text/html; charset=utf-8').send('<p>h\u00e9</p>');
});
app.get('/go', (req, res) => res.redirect(302, '/items/1?x=y'));
app.get('/empty', (req, res) => res.status(204).end());
app.get('/large', (req, res) => res.json({ text: 'x'.repeat(Number(req.query.n)) }));
app.get('/late', async (req, res) => {
  await new Promise((done) => setTimeout(done, 20));
  throw new Error('late and not for clients');
});
app.use((error, req, res, next) => {
  res.status(error.status || 500).json({ error: error.status ? error.message : 'internal' });
});

exports.handler = serverlessExpress({ app, binarySettings: { contentTypes: ['image/*'] } });
