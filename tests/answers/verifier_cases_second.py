"""Golden cases of the verifier's second round: signs, labels, names, and hedges that paid once.

The format is that of `verifier_cases`.
"""

RIGHT = r"""
# second: signs before units
-5^\circ | -5
\pm 40^\circ | 40, -40
-12\% | -0.12
-7 | -7\%
\$-35 | -35
-\$35 | \$-35
115^\circ | 180^\circ-65^\circ
# second: products and spacing
3^4 7^2 11^3 | 3^4*7^2*11^3
a b | a \thinspace b
a b | a \negmedspace b
\sfrac{2}{3} | 2/3
\nicefrac{2}{3} | 2/3
x=1,\quad y=2 | x=1,\quady=2
-1./4 | -1/4
# second: backslashes written twice
\frac{3}{7} | \\frac{3}{7}
\{3, 4\} | \\{3, 4\\}
\begin{pmatrix}3\\4\end{pmatrix} | \\begin{pmatrix}3\\\\4\\end{pmatrix}
(2, \frac{\pi}{3}) | \\left( 2, \\frac{\\pi}{3} \\right)
# second: units, one way
8 | 8 m^2
8 | 8m²
9 | 9 \frac{\text{m}}{\text{s}}
14 | 14个
14 | 14米
14 | x是14
3 | x \equiv 3 \pmod{8}
# second: labels, one way
9 | \textbf{(B)}\ 9
9 | B. 9
9 | c) 9
\frac{1}{9} | (D) \frac19
C | (C) A square
# second: names
3/5 | \sin A = 3/5
6 | \|v\| = 6
4 | f^{-1}(7) = 4
-2 | \det M = -2
5 | \begin{vmatrix} 3 & 1 \\ 1 & 2 \end{vmatrix} = 5
n^2 | \sum_{k=1}^{n} (2k-1) = n^2
\frac13 | \int_0^1 t^2\,dt = \frac13
T:T'=4:9 | 4:9
\frac{AD}{DB}=\frac{2}{5} | 2/5
0<f(x)<3 | (0,3)
x \equiv 3 \pmod{8} | x \equiv 3 \pmod 8
# second: what is concluded, one way
5 | x^3=125 \implies x=5
7 | \text{Therefore, } x=7
7 | So 7
7 | approximately 7
y=3x+1 | 2y=6x+2 \implies y=3x+1
# second: words and functions
25 | twenty-five
320 | three hundred twenty
0.5 | one half
3/4 | three quarters
(-\infty,4)\cup(4,\infty) | all real numbers except 4
g(x) | g{\left(x \right)}
y_2' | y'_2
y' | y^{\prime}
\sum_{k=1}^{3} k^2 | \sum^{3}_{k=1} k^2
\dot{x} | \dot x
# second: approximations, one way
\frac{5}{7} | \frac57 \approx 0.714
0.714 | \frac57 \approx 0.714
\frac57 | \frac57 \approx 2
# second: named values, one way
u=4, t=9 | 4, 9
u=4, t=9 | t=9, u=4
(1,2), (3,4) | (1,2), (3,4), (1,2)
# second: sums of angles whose proof sympy has no opinion on
\frac{\pi}{4} | \arctan\frac12+\arctan\frac13
"""

WRONG = r"""
# second: chains of approximations
1 | 0 \approx 1 \approx 2
2 | 0 ≈ 1 ≈ 2
z | x \approx y \approx z
y | x \approx y
(3,4) | (1,2) \approx (3,4)
[0,2] | [0,1] \approx [0,2]
3 | 2.5 \approx 3
2 | x \approx 1 \approx 2
# second: numbers with a comma
2,400 | 400, 2
2,400 | (2,400)
2,000 | (2,0)
2,000 | \{2, 0\}
# second: several choices
B | (B) or (C)
B | (B) (C) (D)
B | B. C. D.
B | B) C) D)
B | B: C
B | (B) and (C)
\textbf{(B)}\ 9 | (B) or C
\textbf{(B)}\ 9 | (C) 9
9 | A. 8 B. 9
9 | B. 8 or 9
# second: named values
u=4, t=9 | 9, 4
u=4, t=9 | u=9, t=4
f(x)=3x | f(y)=3x
3x | f(y)=3x
# second: precision is no proof
4 | 2^{2.00000000000000000000000000000000000000000000000001}
9 | 3^{2+10^{-50}}
1 | 2^{1/2^{300}}
# second: inequalities left to solve
(-3,3) | x^2 < 9
(-2,4) | |x-1| < 3
x<4 | 2x<8
# second: names that differ
\sin A = 3/5 | \cos A = 3/5
x \equiv 3 \pmod{8} | x \equiv 3 \pmod 9
5\text{ cm} | 5米
# second: equations left to solve
4 | x^2 = 4
4 | 3x = 4
7 | 7 \implies 8
# second: numbers side by side
25 | 5 5
40 | 2^3 5
3 | 3, 3
"""
