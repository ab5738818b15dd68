"""Raw article in, sparse matrix out: clean, tokens, stems, vocabulary, vectorizer."""
