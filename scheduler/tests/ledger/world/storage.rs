//! The storage of the world: what it lists, and who else uses it.

use label_mapper::{Attachment, Catalogue, Volume, VolumeState};

use super::{FOREIGN, SOURCE, World};
use crate::action::{Action, VOLUMES};
use crate::mutant::Mutant;
use crate::real::{MULTI, agent_id, volume_id};

impl World {
    pub(super) fn foreign(&mut self, volume: u8) -> Result<(), String> {
        let on = self.attached.entry(volume).or_default();
        if on.remove(&FOREIGN) {
            self.foreign.remove(&volume);
        } else if self.rules.storage && !self.deleted.contains(&volume) {
            on.insert(FOREIGN);
        } else {
            return Ok(());
        }
        self.act(Action::Ask)?;
        while !self.listings.is_empty() {
            self.act(Action::Listing)?;
        }
        if self.attached[&volume].contains(&FOREIGN) {
            self.foreign.insert(volume);
        }
        Ok(())
    }

    /// A listing that says nothing of most volumes: of a source that is broken, or of another one.
    pub(super) fn partial(&mut self, empty: bool, volume: u8) {
        if !self.rules.storage {
            return;
        }
        let all = self.listing();
        let some = all.volumes().filter(|of| !empty && of.id.as_str() == volume_id(volume));
        let mut listing = Catalogue::new(some.cloned());
        let mut source = if empty { SOURCE } else { "another source" };
        match self.mutant {
            Mutant::SourcesAreMixed => source = SOURCE,
            Mutant::EmptyIsDeleted if empty => {
                let of_nobody = Volume {
                    id: "vol-9".parse().expect("it is an id"),
                    attachments: Vec::new(),
                    ..all.volumes().next().expect("no volume is ever the last").clone()
                };
                listing = Catalogue::new([of_nobody]);
            }
            _ => {}
        }
        self.ledger.stored(&listing, self.now, self.now);
        self.ledger.complete(source, &listing, self.now, self.now);
        self.save();
    }

    pub(super) fn listing(&self) -> Catalogue {
        let there = (0..VOLUMES).filter(|volume| !self.deleted.contains(volume));
        // One volume that no task uses is never deleted, so that a listing is empty only when its source is broken.
        Catalogue::new(there.chain([VOLUMES]).map(|volume| {
            let on = self.attached.get(&volume).into_iter().flatten();
            let listed = |on: &&u8| **on != FOREIGN || self.mutant != Mutant::ForeignHostsUnlisted;
            let on = on.filter(listed);
            Volume {
                id: volume_id(volume).parse().expect("it is an id"),
                name: None,
                zone: "za".to_owned(),
                state: VolumeState::Available,
                size_gib: 1,
                attachments: on
                    .map(|agent| Attachment {
                        instance: agent_id(*agent),
                        device: None,
                        state: "attached".to_owned(),
                    })
                    .collect(),
                multi_attach: volume == MULTI,
            }
        }))
    }
}
