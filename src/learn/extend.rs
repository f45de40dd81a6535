//! More atoms for a learned dictionary: the samples that it represents worst.

use faer::Mat;

use super::config::Config;
use crate::backend::{Backend, Candidate};
use crate::coded_blocks::{BLOCK, CodedBlocks};
use crate::coder::SparseCoder;
use crate::cpu::vector::outlined;
use crate::dictionary::Dictionary;
use crate::error::Error;
use crate::learn::initialisation::fill_with_gaussians;
use crate::matrix::zeros;
use crate::problem::ProblemShape;
use crate::random::{RandomStream, generator};
use crate::samples::preprocessing::Preprocessing;
use crate::source::SampleSource;
use crate::source::permutation::Permutation;
use crate::updater::DictionaryUpdater;
use crate::updater::renewal::{MOST_ALIKE, first_alike};

/// `dictionary` with as many atoms as `config` asks for. The new ones are distinct samples, scaled
/// to norm 1, that the old ones represent worst, of a minibatch's number drawn by the seed;
/// Gaussian directions if those run out.
pub(super) fn extend<B, C, U>(
    config: &Config<B, C, U>,
    dictionary: Dictionary<B::Scalar>,
    source: &dyn SampleSource<B::Scalar>,
    preprocessing: &Preprocessing<B::Scalar>,
) -> Result<Dictionary<B::Scalar>, Error>
where
    B: Backend,
    C: SparseCoder<B>,
    U: DictionaryUpdater<B>,
{
    let settings = &config.settings;
    let shape = settings.shape(source.dim());
    let old = dictionary.atoms();
    let mut atoms = zeros::<B::Scalar>(shape.dim, shape.atoms)?;
    atoms.as_mut().subcols_mut(0, old).copy_from(dictionary.as_mat());

    let count = settings.minibatch_of(source.len()).max(4 * (shape.atoms - old)).min(source.len());
    let candidates = worst_represented(config, &dictionary, source, preprocessing, count)?;
    let mut filled = old;
    let mut host = vec![<B::Scalar as Default>::default(); shape.dim];
    for Candidate { sample, .. } in candidates {
        if filled == shape.atoms {
            break;
        }
        source.read(sample..sample + 1, &mut host)?;
        preprocessing.apply(&mut host);
        if outlined::normalize(&mut host) == 0.0 {
            continue;
        }
        let taken = (old..filled).map(|j| atoms.col_as_slice(j));
        if first_alike(taken, &host, settings.sign, MOST_ALIKE).is_none() {
            atoms.col_as_slice_mut(filled).copy_from_slice(&host);
            filled += 1;
        }
    }
    let mut random = generator(settings.seed, RandomStream::ExtensionFill);
    fill_with_gaussians(&mut atoms, filled, &mut random);
    Ok(Dictionary::trusted(atoms))
}

/// `count` samples of the source, by falling error.
fn worst_represented<B, C, U>(
    config: &Config<B, C, U>,
    dictionary: &Dictionary<B::Scalar>,
    source: &dyn SampleSource<B::Scalar>,
    preprocessing: &Preprocessing<B::Scalar>,
    count: usize,
) -> Result<Vec<Candidate>, Error>
where
    B: Backend,
    C: SparseCoder<B>,
    U: DictionaryUpdater<B>,
{
    let (backend, coder, settings) = (&config.backend, &config.coder, &config.settings);
    let atoms = dictionary.atoms();
    let sparsity = settings.sparsity.min(atoms);
    let shape = ProblemShape { atoms, sparsity, ..settings.shape(source.dim()) };
    coder.check(&shape)?;
    let mut state = coder.prepare(backend, &shape)?;
    let mut matrix = backend.zeros(shape.dim, atoms)?;
    backend.upload(dictionary.as_mat(), &mut matrix)?;
    coder.set_dictionary(backend, &mut state, &matrix)?;
    let mut blocks = CodedBlocks::new(backend, &shape, preprocessing.clone())?;
    let outliers = settings.statistics.outliers;

    let order = Permutation::new(source.len(), settings.seed, RandomStream::Extension);
    let drawn: Vec<usize> = (0..count).map(|i| order.at(i)).collect();
    let mut candidates = Vec::with_capacity(count);
    for block in drawn.chunks(BLOCK) {
        let ranges = block.iter().map(|&i| i..i + 1);
        blocks.code(backend, (coder, &state), &matrix, source, ranges)?;
        blocks.compute_residual(backend, &matrix);
        backend.synchronize()?;
        let left: Mat<B::Scalar> = backend.download(blocks.residual())?;
        for (column, &sample) in block.iter().enumerate() {
            let error = outlined::energy(left.col_as_slice(column));
            // Dropping would shift the columns of a block: candidates of too large a norm are
            // left out here.
            let is_outside = blocks.is_outside().get(column).is_some_and(|&outside| outside);
            if error > 0.0 && !(outliers.are_limited() && is_outside) {
                candidates.push(Candidate { sample, error });
            }
        }
    }
    Candidate::sort(&mut candidates);
    Ok(candidates)
}
