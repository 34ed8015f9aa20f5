//! Records to rows and back. What does not parse is damage, told by the row's name.

use std::{collections::BTreeMap, net::Ipv4Addr};

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::{Serialize, de::DeserializeOwned};

use super::{Fault, history, pair};
use crate::{
    protocol::{
        Change,
        lease::{Binding, BindingState, ClientId, HwAddr, Version},
        time::{Epoch, Time},
    },
    runtime::clock::{Anchor, Sleep, Stamp},
    settings::{Identifier, Record, RecordKey, Reservation, Settings},
};

/// How much older the records of each epoch are than node time shows: the sum of all later sleeps.
#[derive(Debug, Default)]
pub struct Ages {
    slept_ms: BTreeMap<u32, u64>,
    /// Indexed by epoch number. Kept because it is read for every row.
    later_ms: Vec<u64>,
}

/// No machine boots more often; a larger number is damage.
const EPOCHS_MAX: u32 = 10_000_000;

impl Ages {
    pub fn put(&mut self, sleep: Sleep) {
        self.slept_ms.insert(sleep.before.0, millis(sleep.duration.as_millis()));
        self.sum_up();
    }

    pub fn load(connection: &Connection) -> Result<Ages, Fault> {
        let mut ages = Ages::default();
        let mut statement = connection.prepare("SELECT number, slept_ms FROM epoch WHERE slept_ms > 0")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let number: u32 = row.get(0)?;
            if number > EPOCHS_MAX {
                return Err(Fault::Damage(format!("it has a boot number {number}")));
            }
            ages.slept_ms.insert(number, unsigned(row, 1)?);
        }
        ages.sum_up();
        Ok(ages)
    }

    fn sum_up(&mut self) {
        let newest = self.slept_ms.keys().next_back().map_or(0, |&epoch| epoch as usize);
        self.later_ms = vec![0; newest];
        let mut sum_ms = 0u64;
        for epoch in (0..newest).rev() {
            sum_ms = sum_ms.saturating_add(self.slept_ms.get(&(epoch as u32 + 1)).copied().unwrap_or(0));
            self.later_ms[epoch] = sum_ms;
        }
    }

    fn of(&self, epoch: Epoch) -> u64 {
        self.later_ms.get(epoch.0 as usize).copied().unwrap_or(0)
    }

    /// From the row: as the time stands on the timeline now.
    pub fn effective(&self, row_ms: u64, epoch: Epoch) -> Time {
        Time(row_ms.saturating_sub(self.of(epoch)))
    }

    /// To the row: what `effective` will make the same time of. `None`: never.
    pub fn stored(&self, time: Time, epoch: Epoch) -> Option<i64> {
        (time != Time::NEVER).then(|| signed(time.0.saturating_add(self.of(epoch))))
    }
}

/// Writes the changes of one commit.
pub fn write_changes(connection: &Connection, changes: &[Change], ages: &Ages) -> rusqlite::Result<()> {
    // Reservations may exchange their addresses in one commit: every row that is touched goes first, so that
    // UNIQUE(address) sees the state after the commit only.
    for change in changes {
        match change {
            Change::Put(Record::Reservation(reservation)) => remove_reservation(connection, &reservation.identifier)?,
            Change::Remove(RecordKey::Reservation(identifier)) => remove_reservation(connection, identifier)?,
            Change::Bind(_)
            | Change::Put(_)
            | Change::Remove(_)
            | Change::Setting(_)
            | Change::GiveUp(_)
            | Change::Pair(_)
            | Change::Noted(_) => {}
        }
    }
    for change in changes {
        match change {
            Change::Bind(binding) => put_binding(connection, binding, ages)?,
            Change::Put(record) => put_record(connection, record)?,
            Change::Remove(key) => remove_record(connection, key)?,
            Change::Setting(entry) => pair::put_entry(connection, entry)?,
            Change::GiveUp(given_up) => pair::put_given_up(connection, given_up)?,
            Change::Pair(memory) => pair::put_pair(connection, memory.as_ref(), ages)?,
            Change::Noted(noted) => history::put(connection, noted)?,
        }
    }
    if changes.iter().any(|change| matches!(change, Change::Noted(_))) {
        history::prune(connection)?;
    }
    Ok(())
}

fn put_binding(connection: &Connection, binding: &Binding, ages: &Ages) -> rusqlite::Result<()> {
    // REPLACE on a table without further indexes overwrites the row in place.
    let mut statement =
        connection.prepare_cached("INSERT OR REPLACE INTO binding VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11)")?;
    statement.execute(params![
        u32::from(binding.address),
        client_to_blob(&binding.client, &binding.hw),
        hw_to_blob(&binding.hw),
        state_to_number(binding.state),
        ages.stored(binding.since, binding.epoch).unwrap_or(i64::MAX),
        ages.stored(binding.expiry, binding.epoch),
        binding.epoch.0,
        binding.generation,
        signed(binding.version.first),
        signed(binding.version.second),
        binding.host_name.as_deref(),
    ])?;
    Ok(())
}

/// Hands over every binding, with effective times, ordered by address.
pub fn each_binding(connection: &Connection, ages: &Ages, mut take: impl FnMut(Binding)) -> Result<(), Fault> {
    let mut statement = connection.prepare("SELECT * FROM binding ORDER BY address")?;
    let mut rows = statement.query([])?;
    let mut previous = None;
    while let Some(row) = rows.next()? {
        let address = Ipv4Addr::from(row.get::<_, u32>(0)?);
        // A tree whose pages are mixed up gives rows out of order long before it gives an error.
        if previous.is_some_and(|previous| previous >= address) {
            return Err(Fault::Damage(format!("the row of {address} is in the wrong place")));
        }
        previous = Some(address);
        take(binding_of(row, address, ages).map_err(|fault| fault.in_row(&format!("the lease of {address}")))?);
    }
    Ok(())
}

fn binding_of(row: &Row<'_>, address: Ipv4Addr, ages: &Ages) -> Result<Binding, Fault> {
    let hw = hw_of_blob(row.get_ref(2)?.as_blob().map_err(Fault::damage)?)?;
    let epoch = Epoch(row.get(6)?);
    Ok(Binding {
        address,
        client: client_of_blob(row.get_ref(1)?.as_blob().map_err(Fault::damage)?, hw)?,
        hw,
        state: state_of_number(row.get(3)?)?,
        since: ages.effective(unsigned(row, 4)?, epoch),
        expiry: match row.get::<_, Option<i64>>(5)? {
            None => Time::NEVER,
            Some(_) => ages.effective(unsigned(row, 5)?, epoch),
        },
        epoch,
        generation: row.get(7)?,
        version: Version { first: unsigned(row, 8)?, second: unsigned(row, 9)? },
        host_name: row.get_ref(10)?.as_str_or_null().map_err(Fault::damage)?.map(Into::into),
    })
}

const CLIENT_GIVEN: u8 = 0;
const CLIENT_HARDWARE: u8 = 1;
const CLIENT_CLONE: u8 = 2;

/// `0 id…` | `1` (the hardware address beside it) | `1 htype addr…` | `2 length htype addr… id…`.
fn client_to_blob(client: &ClientId, hw: &HwAddr) -> Vec<u8> {
    match client {
        ClientId::Given(id) => [&[CLIENT_GIVEN], &id[..]].concat(),
        ClientId::Hardware(same) if same == hw => vec![CLIENT_HARDWARE],
        ClientId::Hardware(other) => [&[CLIENT_HARDWARE], &hw_to_blob(other)[..]].concat(),
        ClientId::Clone(id, hw) => {
            let hw = hw_to_blob(hw);
            [&[CLIENT_CLONE, hw.len() as u8], &hw[..], &id[..]].concat()
        }
    }
}

fn client_of_blob(blob: &[u8], hw: HwAddr) -> Result<ClientId, Fault> {
    match blob {
        [CLIENT_GIVEN, id @ ..] => Ok(ClientId::Given(id.into())),
        [CLIENT_HARDWARE] => Ok(ClientId::Hardware(hw)),
        [CLIENT_HARDWARE, other @ ..] => Ok(ClientId::Hardware(hw_of_blob(other)?)),
        [CLIENT_CLONE, len, rest @ ..] if rest.len() >= usize::from(*len) => {
            let (hw, id) = rest.split_at(usize::from(*len));
            Ok(ClientId::Clone(id.into(), hw_of_blob(hw)?))
        }
        _ => Err(Fault::Damage("its client cannot be read".into())),
    }
}

pub fn hw_to_blob(hw: &HwAddr) -> Vec<u8> {
    [&[hw.htype()], hw.bytes()].concat()
}

pub fn hw_of_blob(blob: &[u8]) -> Result<HwAddr, Fault> {
    let hw = blob.split_first().and_then(|(&htype, addr)| HwAddr::new(htype, addr));
    hw.ok_or_else(|| Fault::Damage("its hardware address cannot be read".into()))
}

fn state_to_number(state: BindingState) -> u8 {
    match state {
        BindingState::Free => 0,
        BindingState::Tentative => 1,
        BindingState::Leased => 2,
        BindingState::Released => 3,
        BindingState::Declined => 4,
    }
}

fn state_of_number(number: u8) -> Result<BindingState, Fault> {
    Ok(match number {
        0 => BindingState::Free,
        1 => BindingState::Tentative,
        2 => BindingState::Leased,
        3 => BindingState::Released,
        4 => BindingState::Declined,
        _ => return Err(Fault::Damage(format!("its state {number} is unknown"))),
    })
}

fn put_record(connection: &Connection, record: &Record) -> rusqlite::Result<()> {
    let (kind, key, body) = match record {
        Record::Reservation(reservation) => return put_reservation(connection, reservation),
        Record::Server(server) => ("server", String::new(), json(server)),
        Record::Lease(lease) => ("lease", String::new(), json(lease)),
        Record::Twin(twin) => ("twin", String::new(), json(twin)),
        Record::Access(access) => ("access", String::new(), json(access)),
        Record::Alerts(alerts) => ("alerts", String::new(), json(alerts)),
        Record::Options(options) => ("options", String::new(), json(options)),
        Record::CustomOptions(definitions) => ("custom-options", String::new(), json(definitions)),
        Record::Subnet(subnet) => ("subnet", subnet.network.to_string(), json(subnet)),
    };
    connection.prepare_cached("INSERT OR REPLACE INTO setting VALUES (?1,?2,?3)")?.execute(params![kind, key, body])?;
    Ok(())
}

fn remove_record(connection: &Connection, key: &RecordKey) -> rusqlite::Result<()> {
    let (kind, key) = match key {
        RecordKey::Reservation(identifier) => return remove_reservation(connection, identifier),
        RecordKey::Server => ("server", String::new()),
        RecordKey::Lease => ("lease", String::new()),
        RecordKey::Twin => ("twin", String::new()),
        RecordKey::Access => ("access", String::new()),
        RecordKey::Alerts => ("alerts", String::new()),
        RecordKey::Options => ("options", String::new()),
        RecordKey::CustomOptions => ("custom-options", String::new()),
        RecordKey::Subnet(network) => ("subnet", network.to_string()),
    };
    connection.prepare_cached("DELETE FROM setting WHERE kind = ?1 AND key = ?2")?.execute(params![kind, key])?;
    Ok(())
}

fn put_reservation(connection: &Connection, reservation: &Reservation) -> rusqlite::Result<()> {
    let (kind, bytes) = identifier_to_row(&reservation.identifier);
    let sql = "INSERT INTO reservation VALUES (?1,?2,?3,?4,?5,?6,?7,?8) ON CONFLICT (kind, identifier) DO UPDATE SET
        address = ?3, name = ?4, note = ?5, options = ?6, force_broadcast = ?7, echo_client_id = ?8";
    connection.prepare_cached(sql)?.execute(params![
        kind,
        bytes,
        u32::from(reservation.address),
        reservation.name,
        reservation.note,
        json(&reservation.options),
        reservation.force_broadcast,
        reservation.echo_client_id,
    ])?;
    Ok(())
}

fn remove_reservation(connection: &Connection, identifier: &Identifier) -> rusqlite::Result<()> {
    let (kind, bytes) = identifier_to_row(identifier);
    connection.prepare_cached("DELETE FROM reservation WHERE kind = ?1 AND identifier = ?2")?.execute(params![kind, bytes])?;
    Ok(())
}

fn identifier_to_row(identifier: &Identifier) -> (&'static str, Vec<u8>) {
    match identifier {
        Identifier::Mac(hw) => ("mac", hw_to_blob(hw)),
        Identifier::ClientId(id) => ("client-id", id.clone()),
        Identifier::CircuitId(id) => ("circuit-id", id.clone()),
    }
}

pub fn load_settings(connection: &Connection) -> Result<Settings, Fault> {
    let mut settings = Settings::default();
    let mut statement = connection.prepare("SELECT kind, key, body FROM setting ORDER BY kind, key")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (kind, key, body) = (row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?);
        let record = record_of(&kind, &body).map_err(|fault| fault.in_row(&format!("the setting `{kind} {key}`")))?;
        settings.put(record);
    }
    let mut statement = connection.prepare("SELECT * FROM reservation ORDER BY address")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let address = Ipv4Addr::from(row.get::<_, u32>(2)?);
        let reservation = reservation_of(row, address).map_err(|fault| fault.in_row(&format!("the reservation of {address}")))?;
        // Ordered already; `Settings::put` would look for its like among all.
        settings.reservations.push(reservation);
    }
    Ok(settings)
}

fn record_of(kind: &str, body: &str) -> Result<Record, Fault> {
    Ok(match kind {
        "server" => Record::Server(parse(body)?),
        "lease" => Record::Lease(parse(body)?),
        "twin" => Record::Twin(parse(body)?),
        "access" => Record::Access(parse(body)?),
        "alerts" => Record::Alerts(parse(body)?),
        "options" => Record::Options(parse(body)?),
        "custom-options" => Record::CustomOptions(parse(body)?),
        "subnet" => Record::Subnet(parse(body)?),
        _ => return Err(Fault::Damage(format!("the kind `{kind}` is unknown"))),
    })
}

fn reservation_of(row: &Row<'_>, address: Ipv4Addr) -> Result<Reservation, Fault> {
    let (kind, bytes) = (row.get::<_, String>(0)?, row.get::<_, Vec<u8>>(1)?);
    let identifier = match kind.as_str() {
        "mac" => Identifier::Mac(hw_of_blob(&bytes)?),
        "client-id" => Identifier::ClientId(bytes),
        "circuit-id" => Identifier::CircuitId(bytes),
        _ => return Err(Fault::Damage(format!("the kind `{kind}` is unknown"))),
    };
    Ok(Reservation {
        identifier,
        address,
        name: row.get(3)?,
        note: row.get(4)?,
        options: parse(&row.get::<_, String>(5)?)?,
        force_broadcast: row.get(6)?,
        echo_client_id: row.get(7)?,
    })
}

pub fn load_stamp(connection: &Connection) -> Result<Option<Stamp>, Fault> {
    let sql = "SELECT boot_id, boottime_ms, node_ms, epoch, anchor_wall_ms, anchor_node_ms, anchor_epoch FROM clock";
    let stamp = connection.query_row(sql, [], |row| {
        let anchor = match (row.get(4)?, row.get(5)?, row.get::<_, Option<u32>>(6)?) {
            (Some(wall_ms), Some(node_ms), Some(epoch)) => Some(Anchor { wall_ms, node_ms, epoch: Epoch(epoch) }),
            _ => None,
        };
        Ok(Stamp { boot_id: row.get(0)?, boottime_ms: row.get(1)?, node_ms: row.get(2)?, epoch: Epoch(row.get(3)?), anchor })
    });
    Ok(stamp.optional()?)
}

pub fn write_stamp(connection: &Connection, stamp: &Stamp) -> rusqlite::Result<()> {
    let anchor = stamp.anchor;
    connection.prepare_cached("INSERT OR REPLACE INTO clock VALUES (1,?1,?2,?3,?4,?5,?6,?7)")?.execute(params![
        stamp.boot_id,
        stamp.boottime_ms,
        stamp.node_ms,
        stamp.epoch.0,
        anchor.map(|anchor| anchor.wall_ms),
        anchor.map(|anchor| anchor.node_ms),
        anchor.map(|anchor| anchor.epoch.0),
    ])?;
    Ok(())
}

pub fn write_epoch(connection: &Connection, number: Epoch, boot_id: &str) -> rusqlite::Result<()> {
    let sql = "INSERT INTO epoch (number, boot_id) VALUES (?1, ?2) ON CONFLICT (number) DO NOTHING";
    connection.execute(sql, params![number.0, boot_id])?;
    Ok(())
}

pub fn write_sleep(connection: &Connection, sleep: Sleep) -> rusqlite::Result<()> {
    let slept_ms = signed(millis(sleep.duration.as_millis()));
    connection.execute("UPDATE epoch SET slept_ms = ?2 WHERE number = ?1", params![sleep.before.0, slept_ms])?;
    Ok(())
}

pub fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("settings are plain data, their map keys numbers")
}

pub fn parse<T: DeserializeOwned>(body: &str) -> Result<T, Fault> {
    serde_json::from_str(body).map_err(Fault::damage)
}

pub fn unsigned(row: &Row<'_>, column: usize) -> Result<u64, Fault> {
    u64::try_from(row.get::<_, i64>(column)?).map_err(Fault::damage)
}

fn millis(ms: u128) -> u64 {
    u64::try_from(ms).unwrap_or(u64::MAX)
}

pub fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
