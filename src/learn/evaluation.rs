//! The error of the current dictionary on samples that are never learned from.

use super::config::Config;
use super::team::{Team, of_owner};
use super::trainer::Trainer;
use faer::MatRef;

use crate::backend::{Backend, SampleShards};
use crate::coded_blocks::{BLOCK, CodedBlocks};
use crate::coder::SparseCoder;
use crate::cpu::vector::outlined;
use crate::error::Error;
use crate::group::{Message, Reading};
use crate::matrix::column;
use crate::samples::moments::Figures;
use crate::source::SampleSource;
use crate::updater::DictionaryUpdater;

/// Held-out samples, and the memory in which blocks of them are coded.
pub(super) struct HeldOutEvaluator<'a, B: Backend> {
    source: &'a dyn SampleSource<B::Scalar>,
    blocks: CodedBlocks<B>,
    /// Atoms that the codes are for.
    atoms: usize,
}

/// What was measured.
pub(super) struct HeldOutFigures {
    pub(super) figures: Figures,
    pub(super) nonzeros: usize,
}

impl<'a, B: Backend> HeldOutEvaluator<'a, B> {
    pub(super) fn new<C, U>(
        config: &Config<B, C, U>,
        source: &'a dyn SampleSource<B::Scalar>,
        trainer: &Trainer<B, C, U>,
    ) -> Result<Self, Error>
    where
        C: SparseCoder<B>,
        U: DictionaryUpdater<B>,
    {
        let shape = trainer.shape();
        let blocks = CodedBlocks::new(&config.backend, shape, trainer.preprocessing().clone())?;
        Ok(Self { source, blocks, atoms: shape.atoms })
    }

    /// Codes all samples with the trainer's dictionary. Owners deal the blocks out among them.
    pub(super) fn examine<C, U>(
        &mut self,
        config: &Config<B, C, U>,
        trainer: &mut Trainer<B, C, U>,
        team: Team<'_>,
    ) -> Result<HeldOutFigures, Error>
    where
        C: SparseCoder<B>,
        U: DictionaryUpdater<B>,
    {
        let dim = self.source.dim();
        let mut measured = HeldOutFigures { figures: Figures::new(dim), nonzeros: 0 };
        if team.is_alone() {
            self.examine_blocks(config, trainer, team, &mut |block| measured.merge(block))?;
            return Ok(measured);
        }
        let mut numbers = Vec::new();
        let own = self.examine_blocks(config, trainer, team, &mut |block| {
            block.figures.put_into(&mut numbers);
            numbers.push(block.nonzeros as f64);
        });
        let own = own.map(|()| {
            let mut message = Message::new();
            message.put_all(&numbers);
            message
        });
        let told = team.gather(own)?;
        let numbers = |(rank, told): (usize, &Vec<u8>)| {
            Reading::new(told).take_all::<f64>().map_err(|reason| of_owner(rank, reason))
        };
        let numbers: Vec<Vec<f64>> =
            told.iter().enumerate().map(numbers).collect::<Result<_, _>>()?;
        let each = Figures::numbers(dim) + 1;
        let mut blocks: Vec<_> = numbers.iter().map(|numbers| numbers.chunks_exact(each)).collect();
        for number in 0..self.source.len().div_ceil(BLOCK) {
            let rank = number % team.ranks();
            let Some(&[ref figures @ .., nonzeros]) = blocks[rank].next() else {
                return Err(of_owner(rank, format!("no figures of held-out block {number}")));
            };
            let figures = Figures::from_numbers(figures);
            measured.merge(&HeldOutFigures { figures, nonzeros: nonzeros as usize });
        }
        Ok(measured)
    }

    /// Codes the blocks of this owner, one after the other.
    fn examine_blocks<C, U>(
        &mut self,
        config: &Config<B, C, U>,
        trainer: &mut Trainer<B, C, U>,
        team: Team<'_>,
        each: &mut dyn FnMut(&HeldOutFigures),
    ) -> Result<(), Error>
    where
        C: SparseCoder<B>,
        U: DictionaryUpdater<B>,
    {
        let backend = &config.backend;
        let shape = trainer.shape();
        if self.atoms != shape.atoms {
            self.blocks.reshape(backend, shape)?;
            self.atoms = shape.atoms;
        }
        let Self { source, blocks, .. } = self;
        // Others may wait for what this owner has to give within, which is no message of a team.
        trainer.refresh_coder(config, team.group()).inspect_err(|error| team.leave(error))?;
        for start in (team.rank() * BLOCK..source.len()).step_by(team.ranks() * BLOCK) {
            let block = start..(start + BLOCK).min(source.len());
            let (coder, block) = ((&config.coder, &trainer.coder), std::iter::once(block));
            blocks.code(backend, coder, &trainer.dictionary, *source, block)?;
            blocks.compute_residual(backend, &trainer.dictionary);
            backend.synchronize()?;
            let (is_outside, residual) = (blocks.is_outside(), blocks.residual());
            let shards = SampleShards::single(backend.columns(residual));
            let mut figures = blocks.host.figures(&shards, is_outside);
            figures.all.error = backend.squared_norm(residual)?;
            figures.within.error = if is_outside.is_empty() {
                figures.all.error
            } else {
                error_within::<B>(backend.download(residual)?.as_ref(), is_outside)
            };
            each(&HeldOutFigures { figures, nonzeros: backend.nonzeros(blocks.codes())? });
        }
        Ok(())
    }
}

impl HeldOutFigures {
    fn merge(&mut self, block: &Self) {
        self.figures.merge(&block.figures);
        self.nonzeros += block.nonzeros;
    }
}

/// ‖r‖² of the residuals of the samples within the norm limit.
fn error_within<B: Backend>(residual: MatRef<'_, B::Scalar>, is_outside: &[bool]) -> f64 {
    let within = (0..residual.ncols()).filter(|&i| !is_outside[i]);
    within.map(|i| outlined::energy(column(residual, i))).sum()
}
