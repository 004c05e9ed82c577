//! What is true apart from the ledger: agents, tasks, attachments, and what is under way to the scheduler.

mod storage;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use label_mapper::Catalogue;
use mesos_http::operator::Tasks;
use mesos_http::types::TaskState;
use scheduler::ledger::{ClaimRequest, ClaimState, Holder, Ledger, Mode, Rules};

use crate::action::{AGENTS, Action, VOLUMES};
use crate::mutant::Mutant;
use crate::real::{MULTI, OTHERS, OURS, Real, agent_id, described, holder, volume_id};

/// What the storage's own listings come from.
const SOURCE: &str = "the storage";
/// A host that is no agent.
const FOREIGN: u8 = AGENTS + 1;

/// What a run has seen.
#[derive(Default)]
pub(crate) struct Figures {
    pub(crate) granted: u32,
    pub(crate) refused: u32,
    pub(crate) suspects: u32,
}

pub(crate) struct World {
    rules: Rules,
    mutant: Mutant,
    now: u64,
    ledger: Ledger,
    disk: Ledger,
    tasks: BTreeMap<String, Real>,
    accepts: VecDeque<String>,
    updates: VecDeque<(Holder, TaskState)>,
    /// The hosts each volume is attached to, and those whose detaching by force it survived.
    attached: BTreeMap<u8, BTreeSet<u8>>,
    lost: BTreeSet<u8>,
    deleted: BTreeSet<u8>,
    /// The volumes that a host has which is no agent, as the storage has said.
    foreign: BTreeSet<u8>,
    listings: VecDeque<(u64, Catalogue)>,
    pub(crate) figures: Figures,
}

impl World {
    pub(crate) fn new(storage: bool, mutant: Mutant) -> Self {
        let mut world = Self {
            rules: Rules { storage, let_go: 500 },
            mutant,
            now: 10_000,
            ledger: Ledger::default(),
            disk: Ledger::default(),
            tasks: BTreeMap::new(),
            accepts: VecDeque::new(),
            updates: VecDeque::new(),
            attached: BTreeMap::new(),
            lost: BTreeSet::new(),
            deleted: BTreeSet::new(),
            foreign: BTreeSet::new(),
            listings: VecDeque::new(),
            figures: Figures::default(),
        };
        if storage {
            world
                .act(Action::Ask)
                .and_then(|()| world.act(Action::Listing))
                .expect("nothing runs");
        }
        world
    }

    fn save(&mut self) {
        self.disk = self.ledger.clone();
    }

    fn nth(&self, index: u8) -> Option<String> {
        let alive: Vec<&String> = self
            .tasks
            .iter()
            .filter(|(_, task)| task.is_alive())
            .map(|(id, _)| id)
            .collect();
        (!alive.is_empty()).then(|| alive[usize::from(index) % alive.len()].clone())
    }

    fn say(&mut self, id: &str, state: TaskState) {
        let task = self.tasks.get_mut(id).expect("the task is there");
        task.changed = self.now as f64;
        if self.lost.contains(&task.agent) {
            return;
        }
        task.reported = state.clone();
        self.updates.push_back((holder(task.framework, id), state));
    }

    pub(crate) fn act(&mut self, action: Action) -> Result<(), String> {
        self.now += 1;
        match action {
            Action::ClaimRequest { agent, volumes, reads } => return self.request(agent, volumes, reads),
            Action::Accept { lost } => {
                let Some(id) = self.accepts.pop_front() else {
                    return Ok(());
                };
                let task = self.tasks.get_mut(&id).expect("the task is there");
                if lost || self.lost.contains(&task.agent) {
                    (task.state, task.reported) = (Some(TaskState::Dropped), TaskState::Dropped);
                    self.updates.push_back((holder(OURS, &id), TaskState::Dropped));
                } else {
                    (task.state, task.reported) = (Some(TaskState::Staging), TaskState::Staging);
                }
            }
            Action::Run { task } => self.run(task),
            Action::End { task } => {
                let Some(id) = self.nth(task) else { return Ok(()) };
                if self.tasks[&id].state == Some(TaskState::Running) {
                    self.tasks.get_mut(&id).expect("the task is there").state = Some(TaskState::Finished);
                    self.say(&id, TaskState::Finished);
                }
            }
            Action::Unmount { agent } => self.unmount(agent),
            Action::Update => {
                if let Some((holder, state)) = self.updates.pop_front()
                    && self.reported(&holder, state)
                {
                    self.save();
                }
            }
            Action::Lose { agent } => {
                self.lost.insert(agent);
                if self.mutant == Mutant::LostAgentIsGone {
                    self.fence_agent(agent);
                }
                self.ledger.agent_lost(&agent_id(agent), self.now);
                self.save();
                self.each_of(agent, |task| task.is_alive().then_some(TaskState::Unreachable));
            }
            Action::Back { agent } => {
                if self.lost.remove(&agent) {
                    if self.mutant == Mutant::AgentBackIsGone {
                        self.fence_agent(agent);
                    }
                    self.each_of(agent, |task| task.state.clone());
                }
            }
            Action::Gone { agent } => {
                self.lost.remove(&agent);
                for task in self
                    .tasks
                    .values_mut()
                    .filter(|task| task.agent == agent && task.state.is_some())
                {
                    if task.is_alive() {
                        task.state = Some(TaskState::GoneByOperator);
                    }
                    task.mounted.clear();
                }
                // What was said before it died says nothing about what was not.
                self.each_of(agent, |task| task.state.clone());
            }
            Action::Foreign => self.foreign(MULTI)?,
            Action::Delete { volume } => {
                if self.attached.get(&volume).is_none_or(BTreeSet::is_empty) {
                    self.deleted.insert(volume);
                }
            }
            Action::Partial { empty, volume } => self.partial(empty, volume),
            Action::Detach { volume } => {
                self.foreign.remove(&volume);
                self.attached.remove(&volume);
                for task in self.tasks.values_mut() {
                    task.mounted.remove(&volume);
                }
            }
            Action::Ask => self.listings.push_back((self.now, self.listing())),
            Action::Listing => {
                if let Some((asked, listing)) = self.listings.pop_front().filter(|_| self.rules.storage) {
                    let late = self.mutant == Mutant::ListingFromArrival;
                    let asked = if late { self.now } else { asked };
                    self.ledger.stored(&listing, asked, self.now);
                    if self.mutant != Mutant::DeletedAreRemembered {
                        self.ledger.complete(SOURCE, &listing, asked, self.now);
                    }
                    self.save();
                }
            }
            Action::Crash { before_save, snapshot } => {
                // What was decided and not saved was not launched either.
                if !before_save {
                    self.save();
                }
                self.ledger = self.disk.clone();
                if self.mutant == Mutant::SnapshotInsteadOfDisk && snapshot {
                    self.ledger = Ledger::default();
                }
                if snapshot {
                    self.ledger.snapshot(&self.master(), None, self.now);
                    self.save();
                }
            }
            Action::Rebuild => {
                // Only the master's word and the storage's: an operator does this when the folder is lost.
                if self.rules.storage && self.accepts.is_empty() {
                    let (mut tasks, listing) = (self.master(), self.listing());
                    if self.mutant == Mutant::RebuiltWithoutUnreachable {
                        tasks.unreachable_tasks.clear();
                    }
                    self.updates.clear();
                    self.ledger = Ledger::rebuilt(&tasks, Some(&listing), self.now, self.now + 1);
                    self.ledger.complete(SOURCE, &listing, self.now, self.now + 1);
                    self.listings.clear();
                    self.save();
                }
            }
            Action::Other { agent, volume } => self.other(agent, volume),
            Action::Pass { millis } => {
                self.now += u64::from(millis);
                self.ledger.tick(self.rules, self.now);
            }
        }
        self.check()
    }

    /// An update arrives. Returns whether it changed anything.
    /// Takes every task of the agent for gone, as a wrong scheduler would.
    fn fence_agent(&mut self, agent: u8) {
        let agent = agent_id(agent);
        let here = self.ledger.claims().filter(|(_, claim)| claim.agent == agent);
        let holders: Vec<Holder> = here.map(|(_, claim)| claim.holder.clone()).collect();
        for holder in holders {
            self.ledger.task(&holder, &TaskState::GoneByOperator, self.now);
        }
    }

    fn reported(&mut self, holder: &Holder, state: TaskState) -> bool {
        let ends = state.is_terminal();
        let state = match self.mutant {
            Mutant::UnreachableIsFailed if state == TaskState::Unreachable => TaskState::Failed,
            Mutant::EndsUntold if ends => return false,
            _ => state,
        };
        let changed = self.ledger.task(holder, &state, self.now);
        if ends && self.mutant == Mutant::EndIsFree {
            for entry in self.ledger.volumes.values_mut() {
                entry.claims.retain(|claim| claim.holder != *holder);
            }
        }
        changed
    }

    fn each_of(&mut self, agent: u8, state: impl Fn(&Real) -> Option<TaskState>) {
        for (id, task) in self.tasks.iter_mut().filter(|(_, task)| task.agent == agent) {
            if let Some(state) = state(task).filter(|_| task.state.is_some()) {
                task.reported = state.clone();
                self.updates.push_back((holder(task.framework, id), state));
            }
        }
    }

    fn request(&mut self, agent: u8, volumes: u8, reads: bool) -> Result<(), String> {
        if self.lost.contains(&agent) {
            return Ok(());
        }
        let mode = if reads { Mode::Read } else { Mode::Write };
        let wanted: BTreeMap<u8, Mode> = (0..VOLUMES)
            .filter(|v| volumes & (1 << v) != 0)
            .map(|v| (v, mode))
            .collect();
        let ids: Vec<(String, Mode)> = wanted.iter().map(|(v, mode)| (volume_id(*v), *mode)).collect();
        let mut ids: Vec<(&str, Mode)> = ids.iter().map(|(id, mode)| (id.as_str(), *mode)).collect();
        match self.mutant {
            Mutant::WritersRead => ids.iter_mut().for_each(|(_, mode)| *mode = Mode::Read),
            Mutant::FirstVolumeOnly => ids.truncate(1),
            _ => {}
        }
        let id = format!("t{:03}", self.tasks.len());
        let name = agent_id(agent);
        let request = ClaimRequest {
            holder: holder(OURS, &id),
            agent: &name,
            instances: &[&name],
            volumes: &ids,
            multi_attach: &[],
            without_item: &[],
        };
        let storage = self.rules.storage && self.mutant != Mutant::StorageNotAsked;
        let rules = Rules { storage, ..self.rules };
        if self.ledger.intend(&request, rules, self.now).is_err() {
            self.figures.refused += 1;
            return Ok(());
        }
        self.figures.granted += 1;
        for (volume, mode) in &wanted {
            self.allowed(&id, agent, *volume, *mode)?;
        }
        self.tasks.insert(
            id.clone(),
            Real {
                framework: OURS,
                agent,
                volumes: wanted,
                state: None,
                reported: TaskState::Staging,
                mounted: BTreeSet::new(),
                began: false,
                changed: 0.0,
            },
        );
        if self.mutant != Mutant::LaunchBeforeDisk {
            self.save();
        }
        self.accepts.push_back(id.clone());
        self.ledger.launched(&holder(OURS, &id), self.now);
        Ok(())
    }

    /// The promise: a granted claim harms no other task.
    fn allowed(&self, id: &str, agent: u8, volume: u8, mode: Mode) -> Result<(), String> {
        let multi = volume == MULTI;
        for (other, task) in self.tasks.iter().filter(|(_, task)| task.may_touch(volume)) {
            let both_read = mode == Mode::Read && task.volumes[&volume] == Mode::Read;
            if !(both_read && (multi || task.agent == agent)) {
                return Err(format!("{id} is given {} while {other} has it", volume_id(volume)));
            }
        }
        if self.foreign.contains(&volume) {
            return Err(format!(
                "{id} is given {}, which a host has that is no agent",
                volume_id(volume)
            ));
        }
        let elsewhere = self
            .attached
            .get(&volume)
            .is_some_and(|on| on.iter().any(|on| *on != agent));
        let writers_left = self.tasks.values().any(|task| {
            task.agent != agent
                && task.began
                && task.volumes.get(&volume) == Some(&Mode::Write)
                && task.mounted.contains(&volume)
        });
        // A volume that many may attach is corrupted by two mounts even after the writer has ended. Without the storage's
        // word it cannot be known.
        if self.rules.storage && elsewhere && (!multi || mode == Mode::Write || writers_left) {
            return Err(format!("{id} is given {}, which another host has", volume_id(volume)));
        }
        Ok(())
    }

    fn run(&mut self, task: u8) {
        let Some(id) = self
            .nth(task)
            .filter(|id| self.tasks[id].state == Some(TaskState::Staging))
        else {
            return;
        };
        let task = &self.tasks[&id];
        let (agent, volumes) = (task.agent, task.volumes.keys().copied().collect::<Vec<_>>());
        let busy = |volume: &u8| {
            let on = self.attached.get(volume);
            let elsewhere = on.is_some_and(|on| on.iter().any(|on| *on != agent));
            self.deleted.contains(volume) || *volume != MULTI && elsewhere
        };
        let refused = volumes.iter().any(busy);
        let task = self.tasks.get_mut(&id).expect("the task is there");
        if refused {
            task.state = Some(TaskState::Failed);
            self.say(&id, TaskState::Failed);
            return;
        }
        task.began = true;
        task.mounted = volumes.iter().copied().collect();
        task.state = Some(TaskState::Running);
        for volume in volumes {
            self.attached.entry(volume).or_default().insert(agent);
        }
        self.say(&id, TaskState::Running);
    }

    fn unmount(&mut self, agent: u8) {
        for task in self
            .tasks
            .values_mut()
            .filter(|task| task.agent == agent && !task.is_alive())
        {
            task.mounted.clear();
        }
        let tasks = &self.tasks;
        for (volume, on) in &mut self.attached {
            let used = tasks
                .values()
                .any(|task| task.agent == agent && task.mounted.contains(volume));
            if !used {
                on.remove(&agent);
            }
        }
    }

    fn other(&mut self, agent: u8, volume: u8) {
        let touched = self
            .tasks
            .values()
            .any(|task| task.may_touch(volume) || task.mounted.contains(&volume));
        let claimed = self.ledger.claims().any(|(id, _)| id == volume_id(volume));
        let attached = self.attached.get(&volume).is_some_and(|on| !on.is_empty());
        if touched || claimed || attached || self.lost.contains(&agent) {
            return;
        }
        let id = format!("t{:03}", self.tasks.len());
        let real = Real {
            framework: OTHERS,
            agent,
            volumes: BTreeMap::from([(volume, Mode::Write)]),
            state: Some(TaskState::Staging),
            reported: TaskState::Staging,
            mounted: BTreeSet::new(),
            began: false,
            changed: 0.0,
        };
        if self.mutant != Mutant::OthersUnseen {
            self.ledger.observe(&described(&id, &real), None, self.now);
        }
        self.tasks.insert(id, real);
        self.save();
    }

    /// GET_TASKS.
    fn master(&self) -> Tasks {
        let mut tasks = Tasks::default();
        for (id, task) in self.tasks.iter().filter(|(_, task)| task.state.is_some()) {
            let described = described(id, task);
            match &task.reported {
                TaskState::Unreachable => tasks.unreachable_tasks.push(described),
                state if state.is_terminal() => tasks.completed_tasks.push(described),
                _ => tasks.tasks.push(described),
            }
        }
        tasks
    }

    fn check(&mut self) -> Result<(), String> {
        // A ledger that is read after a crash has to know of everything that may run.
        for (id, task) in self.tasks.iter().filter(|(_, task)| task.is_alive()) {
            let own = holder(task.framework, id);
            for volume in task.volumes.keys().filter(|volume| task.may_touch(**volume)) {
                let known = self.disk.volumes.get(&volume_id(*volume));
                if !known.is_some_and(|entry| entry.claims.iter().any(|claim| claim.holder == own)) {
                    return Err(format!("{id} may use {} and has no claim on disk", volume_id(*volume)));
                }
            }
        }
        let suspects = self
            .ledger
            .claims()
            .filter(|(_, claim)| claim.state == ClaimState::Suspect)
            .count();
        self.figures.suspects = self.figures.suspects.max(u32::try_from(suspects).unwrap_or(u32::MAX));
        Ok(())
    }

    /// Faults stop, everything ends, and the ledger hears of it: nothing may be left.
    pub(crate) fn wind_down(&mut self) -> Result<(), String> {
        for agent in 0..AGENTS {
            self.act(Action::Back { agent })?;
        }
        for _ in 0..self.tasks.len() + 1 {
            self.act(Action::Accept { lost: false })?;
        }
        for round in 0..2 * self.tasks.len() + 2 {
            for task in 0..u8::try_from(self.tasks.len().min(250)).expect("it is at most 250") {
                self.act(Action::Run { task })?;
                self.act(Action::End { task })?;
            }
            for agent in 0..AGENTS {
                self.act(Action::Unmount { agent })?;
            }
            if round > 2 && self.tasks.values().all(|task| !task.is_alive()) {
                break;
            }
        }
        // An agent that comes back gets the last state of every task.
        for agent in 0..AGENTS {
            self.each_of(agent, |task| task.state.clone());
        }
        while !self.updates.is_empty() {
            self.act(Action::Update)?;
        }
        // What machines that were switched off had is detached by those who did it.
        self.attached.clear();
        self.foreign.clear();
        self.listings.clear();
        self.act(Action::Ask)?;
        self.act(Action::Listing)?;
        self.act(Action::Pass { millis: 1_000 })?;
        match self.ledger.claims().next() {
            None => Ok(()),
            Some((volume, claim)) => Err(format!("{volume} is never free again: {claim:?}")),
        }
    }
}
