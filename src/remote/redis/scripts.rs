//! The scripts: what has to happen on the server in one step.
//!
//! A lease is looked at before each change that it allows, and a lease is ended by its owner or by a change of the key only.
//! A stream of changes has numbered messages, so that a reader sees when some are missing. Its *life* is a random name that is
//! drawn when it begins, so that a reader sees that the server has lost it.

use redis::{Cmd, Pipeline};

/// Reads an epoch that may be of another type by mistake.
const READ: &str = r"
local function read(key)
  local found = redis.pcall('GET', key)
  if type(found) == 'table' and found.err then redis.call('DEL', key) return false end
  return found
end
";

/// An epoch is 16 random bytes, and behind them the time of a clear that came late: values that were begun before do not count. A
/// value has the time at which it was stored.
const TIMES: &str = r"
local function now()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end
local function epoch(found)
  return string.sub(found, 1, 16)
end
";

/// Tells a change to the other machines. The life of the stream, the number of the message and its id.
const TELL: &str = r"
local function tell(stream, channel, message, limit, life)
  local last = redis.pcall('XREVRANGE', stream, '+', '-', 'COUNT', 1)
  if last.err then redis.call('DEL', stream) last = {} end
  local number = 1
  if #last > 0 then
    local fields = last[1][2]
    if fields[1] == 'l' and fields[3] == 'n' and tonumber(fields[4]) then
      life = fields[2]
      number = tonumber(fields[4]) + 1
    end
  end
  local id = redis.call('XADD', stream, 'MAXLEN', '~', limit, '*', 'l', life, 'n', number, 'm', message)
  redis.call('PUBLISH', channel, 'c')
  return {life, number, id}
end
";

/// KEYS value, lease, epoch, epoch of the memo, stream, channel. ARGV token, epochs, lifetime, body, lifetime of epochs, name of
/// the entry, message or nothing, limit, life. 1 and where it was told if it was stored.
const PUBLISH: &str = r"
if read(KEYS[2]) ~= ARGV[1] then return {0} end
local one, other = read(KEYS[3]), read(KEYS[4])
if not one or not other or epoch(one) .. epoch(other) ~= ARGV[2] then
  redis.call('DEL', KEYS[2])
  redis.call('PUBLISH', KEYS[6], 'w' .. ARGV[6])
  return {0}
end
redis.call('SET', KEYS[1], ARGV[2] .. struct.pack('<I8', now()) .. ARGV[4], 'PX', ARGV[3])
redis.call('DEL', KEYS[2])
redis.call('PEXPIRE', KEYS[3], ARGV[5], 'GT')
redis.call('PEXPIRE', KEYS[4], ARGV[5], 'GT')
redis.call('PUBLISH', KEYS[6], 'w' .. ARGV[6])
if ARGV[7] == '' then return {1} end
return {1, tell(KEYS[5], KEYS[6], ARGV[7], ARGV[8], ARGV[9])}
";

/// KEYS lease, channel. ARGV token, name of the entry, milliseconds for which the value is not shared, or 0.
const RELEASE: &str = r"
if read(KEYS[1]) ~= ARGV[1] then return 0 end
-- A full server takes no mark: then the next caller computes.
if ARGV[3] == '0' or redis.pcall('SET', KEYS[1], '-', 'PX', ARGV[3]).err then redis.call('DEL', KEYS[1]) end
redis.call('PUBLISH', KEYS[2], 'w' .. ARGV[2])
return 1
";

/// KEYS lease. ARGV token, lifetime.
const RENEW: &str = r"
if read(KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
";

/// KEYS value, lease, epoch, epoch of the memo, stream, channel. ARGV lifetime, body or nothing, lifetime of epochs, two epochs to
/// begin with, name of the entry, message, limit, life.
const INSERT: &str = r"
local function epoch_at(key, fresh)
  local found = read(key)
  if not found then
    redis.call('SET', key, fresh, 'PX', ARGV[3])
    return fresh
  end
  redis.call('PEXPIRE', key, ARGV[3], 'GT')
  return epoch(found)
end
if ARGV[2] == '' then
  redis.call('DEL', KEYS[1])
else
  local epochs = epoch_at(KEYS[3], ARGV[4]) .. epoch_at(KEYS[4], ARGV[5])
  redis.call('SET', KEYS[1], epochs .. struct.pack('<I8', now()) .. ARGV[2], 'PX', ARGV[1])
end
redis.call('DEL', KEYS[2])
redis.call('PUBLISH', KEYS[6], 'w' .. ARGV[6])
return {1, tell(KEYS[5], KEYS[6], ARGV[7], ARGV[8], ARGV[9])}
";

/// KEYS value, lease, epoch, epoch of the memo, stream, channel. ARGV name of the entry, message, limit, life, when the removal was
/// made in milliseconds by the clock of the server, or -1 for now. 1 if there was a value, 2 if a newer value stays.
const REMOVE: &str = r"
local found = redis.pcall('GETRANGE', KEYS[1], 0, 55)
local outcome = 0
local removes = true
if type(found) == 'string' and #found == 56 then
  local one, other = read(KEYS[3]), read(KEYS[4])
  if one and other and epoch(one) .. epoch(other) == string.sub(found, 1, 32) then outcome = 1 end
  local made = tonumber(ARGV[5])
  if made >= 0 then
    local stored, lasts, took = struct.unpack('<I8I8I8', string.sub(found, 33, 56))
    if stored - took >= made then removes, outcome = false, 2 end
  end
end
if removes then redis.call('DEL', KEYS[1], KEYS[2]) end
redis.call('PUBLISH', KEYS[6], 'w' .. ARGV[1])
return {outcome, tell(KEYS[5], KEYS[6], ARGV[2], ARGV[3], ARGV[4])}
";

/// KEYS epoch, stream, channel. ARGV epoch, lifetime of epochs, when the clear was made in milliseconds by the clock of the server or -1
/// for now, message, limit, life.
const CLEAR: &str = r"
local found = read(KEYS[1])
local made = tonumber(ARGV[3])
if found and made >= 0 then
  if #found == 24 then made = math.max(made, struct.unpack('<I8', string.sub(found, 17, 24))) end
  redis.call('SET', KEYS[1], epoch(found) .. struct.pack('<I8', made), 'PX', ARGV[2])
else
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
end
return {1, tell(KEYS[2], KEYS[3], ARGV[4], ARGV[5], ARGV[6])}
";

/// KEYS any. What is of another type by mistake is removed.
const REPAIR: &str = r"
for _, key in ipairs(KEYS) do read(key) end
return 1
";

/// A script, and its name on the server.
pub(super) struct Script {
    pub(super) text: String,
    hash: String,
}

impl Script {
    fn new(code: &str) -> Self {
        let text = [READ, TIMES, TELL, code].concat();
        let hash = redis::Script::new(&text).get_hash().to_owned();
        Self { text, hash }
    }

    /// The command that runs it.
    pub(super) fn run(&self, keys: &[String]) -> Cmd {
        let mut command = redis::cmd("EVALSHA");
        command.arg(&self.hash).arg(keys.len()).arg(keys);
        command
    }
}

pub(super) struct Scripts {
    pub(super) publish: Script,
    pub(super) release: Script,
    pub(super) renew: Script,
    pub(super) insert: Script,
    pub(super) remove: Script,
    pub(super) clear: Script,
    pub(super) repair: Script,
}

impl Scripts {
    pub(super) fn new() -> Self {
        Self {
            publish: Script::new(PUBLISH),
            release: Script::new(RELEASE),
            renew: Script::new(RENEW),
            insert: Script::new(INSERT),
            remove: Script::new(REMOVE),
            clear: Script::new(CLEAR),
            repair: Script::new(REPAIR),
        }
    }

    /// Adds the commands that make them known to the server.
    pub(super) fn load(&self, commands: &mut Pipeline) {
        let Self { publish, release, renew, insert, remove, clear, repair } = self;
        for script in [publish, release, renew, insert, remove, clear, repair] {
            commands.cmd("SCRIPT").arg("LOAD").arg(&script.text);
        }
    }
}
