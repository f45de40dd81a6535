use dbksvd::DbKsvd;
use dbksvd::coder::BatchOmp;
use dbksvd::synthetic::Planted;

fn main() -> Result<(), dbksvd::Error> {
    let data = Planted::new(32, 64, 3, 2000).noise(0.05).generate::<f32>()?;
    let learner = DbKsvd::builder(64, 3).epochs(3).build()?;
    let (model, report) = learner.fit(&data.samples)?;
    println!("fvu {}", report.epochs[2].fvu);
    let codes = model.encode(&BatchOmp::new(), data.samples.as_ref())?;
    println!("{} nonzeros", codes.nnz());
    Ok(())
}
