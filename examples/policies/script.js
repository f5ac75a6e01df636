// The user service knows whose key it is: {"name": "alice", "admin": false}.
module.exports = async function onRequest(credentials, dbName) {
  const response = await fetch(`${process.env.USERS_URL}/me`, { headers: { 'X-Api-Key': String(credentials && credentials.apiKey) } });
  if (!response.ok) {
    throw Object.assign(new Error('this key is not known'), { code: 'unauthorized' });
  }
  const user = await response.json();
  if (dbName === 'news') {
    return new PouchDB('news', { access: user.admin ? 'read-write' : 'read-only', subject: user.name });
  }
  if (dbName === 'todos') {
    return new PouchDB(`todos-${user.name}`, { subject: user.name, create: true });
  }
  throw Object.assign(new Error('there are only news and todos'), { code: 'not_found' });
};
