// Written by Tagship at each release. Do not edit: the next release refuses code that it did not write.
function handler(event) {
  const request = event.request;
  const release = chosen(request, event.viewer.ip);
  if (!release) {
    return unanswered(request);
  }
  const path = fileOf(request.uri, release.paths);
  const isHashed = new RegExp(release.hashed).test(path.substring(1));
  request.uri = (isHashed ? '/immutable' : '/releases/' + folderOf(release, path)) + path;
  return request;
}

// Files that have not changed since the release's base are in the folder of the base.
function folderOf(release, path) {
  return release.base && release.differs.indexOf(decoded(path).substring(1)) < 0 ? release.base : release.id;
}

function decoded(path) {
  try {
    return decodeURIComponent(path);
  } catch (error) {
    return path;
  }
}

// A request may ask for one of the releases that serve; all others stay with one by a hash of who asks.
function chosen(request, ip) {
  const asked = request.headers['x-tagship-release'];
  if (asked) {
    return TAGSHIP.serves.find((release) => release.id === asked.value);
  }
  const kept = request.cookies['tagship-release'];
  const found = kept && TAGSHIP.serves.find((release) => release.id === kept.value);
  if (found) {
    return found;
  }
  const agent = request.headers['user-agent'];
  const ids = TAGSHIP.serves.map((release) => release.id).join();
  let number = hash(ip + (agent ? agent.value : '') + ids) % 100;
  for (const release of TAGSHIP.serves) {
    if (number < release.percent) {
      return release;
    }
    number -= release.percent;
  }
}

// What stands last mixes what stands before it: neighbors in address or version get different numbers.
function hash(text) {
  let value = 0;
  for (let at = 0; at < text.length; at += 1) {
    value = (value * 1000003 + text.charCodeAt(at) + 1) % 4294967291;
  }
  return value;
}

function fileOf(uri, paths) {
  const last = uri.substring(uri.lastIndexOf('/') + 1);
  if (last.indexOf('.') >= 0 || uri.startsWith('/.well-known/')) {
    return uri;
  }
  if (paths === 'single-page') {
    return '/index.html';
  }
  if (last === '') {
    return uri + 'index.html';
  }
  return uri + (paths === 'files' ? '.html' : '/index.html');
}

function unanswered(request) {
  const asked = request.headers['x-tagship-release'];
  return {
    statusCode: asked ? 404 : 503,
    statusDescription: asked ? 'Not Found' : 'Service Unavailable',
    headers: { 'cache-control': { value: 'no-store' }, 'content-type': { value: 'text/plain' } },
    body: { encoding: 'text', data: asked ? 'This release does not serve.' : 'Nothing has been released yet.' },
  };
}
